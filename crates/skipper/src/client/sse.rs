use reqwest::Response;

use super::stream::LineStream;

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its id, for resuming.
    pub(crate) id: Option<String>,
    /// Its type; `message` when the server names none.
    pub(crate) event: String,
    /// What it says.
    pub(crate) data: String,
}

/// Server-sent events of an answer, as they come.
#[derive(Debug)]
pub(crate) struct SseStream {
    lines: LineStream,
    pending: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    id: Option<String>,
    event: String,
    data: Vec<String>,
}

impl SseStream {
    /// Reads this answer.
    pub(crate) fn new(response: Response) -> Self {
        Self { lines: LineStream::new(response), pending: Pending::default() }
    }

    /// The next event; `None` when the stream ended.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, reqwest::Error> {
        while let Some(line) = self.lines.next().await? {
            if let Some(message) = self.pending.take(&line) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

impl Pending {
    /// Takes one line; an empty one completes the event.
    fn take(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let Self { id, event, data } = std::mem::take(self);
            if data.is_empty() {
                return None;
            }
            let event = if event.is_empty() { "message".to_owned() } else { event };
            return Some(Message { id, event, data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event),
            "data" => self.data.push(value.to_owned()),
            // Comments keep the connection alive; `retry` is not for us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<Message> {
        let mut pending = Pending::default();
        text.lines().filter_map(|line| pending.take(line)).collect()
    }

    #[test]
    fn events_are_put_together_from_their_lines() {
        let got = messages(": hello\n\nid: 7\nevent: rollout\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\n");
        let first = Message { id: Some("7".into()), event: "rollout".into(), data: "{\"a\":\n1}".into() };
        let second = Message { id: None, event: "message".into(), data: "x".into() };
        assert_eq!(got, [first, second]);
    }

    #[test]
    fn an_event_without_data_and_one_that_is_not_finished_are_dropped() {
        assert_eq!(messages("id: 1\n\ndata: never finished"), []);
    }
}
