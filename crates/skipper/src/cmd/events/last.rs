use skipper_server::api::own::wire::{EventPage, EventView};

use crate::{
    client::{Call, Client},
    failure::Failure,
};

/// Events asked for at once.
const PAGE: u32 = 500;

/// Events of the server, or of one release. They are given oldest first, from a number on.
pub(super) struct Source<'a> {
    pub(super) client: &'a Client,
    pub(super) release: Option<&'a str>,
}

impl Source<'_> {
    /// At most `limit` events that come after that number, oldest first.
    pub(super) async fn after(&self, after: u64, limit: u32) -> Result<Vec<EventView>, Failure> {
        let (mut items, mut after) = (Vec::new(), after);
        while items.len() < limit as usize {
            let left = limit - u32::try_from(items.len()).unwrap_or(limit);
            let page = self.page(after, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            items.extend(page);
        }
        Ok(items)
    }

    /// The last `limit` events, oldest first. Numbers have no gaps and are searched in halves, so this takes some twenty
    /// small questions however many events there are.
    pub(super) async fn last(&self, limit: u32) -> Result<Vec<EventView>, Failure> {
        let Some(newest) = self.newest().await? else { return Ok(Vec::new()) };
        let mut reach = u64::from(limit);
        loop {
            let from = newest.saturating_sub(reach);
            let mut items = self.after(from, u32::MAX).await?;
            if items.len() >= limit as usize || from == 0 {
                items.drain(..items.len().saturating_sub(limit as usize));
                return Ok(items);
            }
            // Of one release there may be few among many.
            reach = reach.saturating_mul(8).max(1);
        }
    }

    /// Number of the newest event.
    async fn newest(&self) -> Result<Option<u64>, Failure> {
        let Some(mut there) = self.first_after(0).await? else { return Ok(None) };
        let mut stride = 1024;
        let mut none_after = loop {
            match self.first_after(there + stride).await? {
                Some(seq) => {
                    there = seq;
                    stride *= 4;
                }
                None => break there + stride,
            }
        };
        while there < none_after {
            let middle = there + (none_after - there) / 2;
            match self.first_after(middle).await? {
                Some(seq) => there = seq,
                None => none_after = middle,
            }
        }
        Ok(Some(there))
    }

    async fn first_after(&self, after: u64) -> Result<Option<u64>, Failure> {
        Ok(self.page(after, 1).await?.first().map(|event| event.seq))
    }

    async fn page(&self, after: u64, limit: u32) -> Result<Vec<EventView>, Failure> {
        let call =
            Call::get(&["v1", "events"]).query("limit", limit).query("after", after).maybe("release", self.release);
        Ok(self.client.ask::<EventPage>(&call).await?.items)
    }
}
