//! Pages, as Spring Data numbers them: `page` from 0, `size` of at most 1000, `sort=FIELD,FIELD,asc|desc` as often as one likes.

use serde::Serialize;

/// Items of a page where nobody says.
const USUAL: u32 = 20;
/// Most items of a page; whoever asks for more gets these.
const MOST: u32 = 1000;
/// Fields that are sorted by; the rest are not read.
const MOST_FIELDS: usize = 8;

/// Which page, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) page: u64,
    pub(super) size: u32,
    pub(super) sort: Vec<Order>,
}

/// One field that is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) field: String,
    pub(super) descending: bool,
}

impl Wanted {
    /// Out of the query. What cannot be read counts as absent, as it does there.
    pub(super) fn of(query: &[(String, String)]) -> Self {
        let number = |name: &str| query.iter().find(|(key, _)| key == name)?.1.trim().parse::<i64>().ok();
        let page = number("page").and_then(|page| u64::try_from(page).ok()).unwrap_or(0);
        let size = number("size").and_then(|size| u32::try_from(size.min(i64::from(MOST))).ok());
        let sort = query.iter().filter(|(key, _)| key == "sort").flat_map(|(_, value)| orders(value));
        Self { page, size: size.filter(|size| *size > 0).unwrap_or(USUAL), sort: sort.take(MOST_FIELDS).collect() }
    }

    /// Items of the pages before.
    pub(super) fn offset(&self) -> u64 {
        // More than any list has, and within what a database counts in.
        self.page.saturating_mul(u64::from(self.size)).min(1 << 62)
    }

    /// The `sort` that leads to the same order, if any was asked for.
    pub(super) fn sorted_by(&self) -> Vec<String> {
        let word = |order: &Order| format!("{},{}", order.field, if order.descending { "desc" } else { "asc" });
        self.sort.iter().map(word).collect()
    }
}

/// `name,version,desc`: the last word may be a direction.
fn orders(value: &str) -> Vec<Order> {
    let mut words: Vec<&str> = value.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let last = words.last().map(|word| word.to_ascii_lowercase());
    let descending = last.as_deref() == Some("desc");
    if descending || last.as_deref() == Some("asc") {
        words.pop();
    }
    words.into_iter().map(|field| Order { field: field.to_owned(), descending }).collect()
}

/// `page` of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbers {
    pub(super) size: u32,
    pub(super) total_elements: u64,
    pub(super) total_pages: u64,
    pub(super) number: u64,
}

impl Numbers {
    pub(super) const fn of(wanted: &Wanted, total: u64) -> Self {
        let pages = total.div_ceil(wanted.size as u64);
        Self { size: wanted.size, total_elements: total, total_pages: pages, number: wanted.page }
    }

    pub(super) const fn previous(&self) -> Option<u64> {
        self.number.checked_sub(1)
    }

    pub(super) const fn next(&self) -> Option<u64> {
        if self.number.saturating_add(1) < self.total_pages { Some(self.number + 1) } else { None }
    }

    pub(super) const fn last(&self) -> u64 {
        self.total_pages.saturating_sub(1)
    }
}

/// Sorts what is in memory; `key` gives what a field holds, `None` for a field that is none. Absent values come first.
pub(super) fn sort<T>(items: &mut [T], sort: &[Order], key: impl Fn(&T, &str) -> Option<Key>) {
    items.sort_by(|a, b| {
        let by = |order: &Order| {
            let compared = key(a, &order.field).cmp(&key(b, &order.field));
            if order.descending { compared.reverse() } else { compared }
        };
        sort.iter().map(by).find(|compared| compared.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
}

/// The items of a page, of a list that is in memory.
pub(super) fn slice<T>(items: Vec<T>, wanted: &Wanted) -> impl Iterator<Item = T> {
    let skipped = usize::try_from(wanted.offset()).unwrap_or(usize::MAX);
    items.into_iter().skip(skipped).take(wanted.size as usize)
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Absent,
    Number(i64),
    Text(String),
}

impl From<Option<&str>> for Key {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(text.to_owned()))
    }
}

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Wanted {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Wanted::of(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_out_of_bounds_are_brought_into_them() {
        let check = |query, page, size| assert_eq!((of(query).page, of(query).size), (page, size), "{query}");
        check("", 0, 20);
        check("page=3&size=7", 3, 7);
        check("size=2000", 0, 1000);
        check("size=99999999999&page=-1", 0, 1000);
        check("size=0", 0, 20);
        check("size=-5&page=x", 0, 20);
        assert!(of(&format!("page={}&size=1000", i64::MAX)).offset() <= 1 << 62);
    }

    #[test]
    fn several_fields_and_directions_are_read() {
        let words = of("sort=name,version,desc&sort=kind&sort=,asc").sorted_by();
        assert_eq!(words, ["name,desc", "version,desc", "kind,asc"]);
    }

    #[test]
    fn pages_lead_to_their_neighbours() {
        let at = |page, total| Numbers::of(&Wanted { page, size: 10, sort: Vec::new() }, total);
        let neighbours = |page, total| (at(page, total).previous(), at(page, total).next(), at(page, total).last());
        assert_eq!(neighbours(0, 0), (None, None, 0));
        assert_eq!(neighbours(0, 10), (None, None, 0));
        assert_eq!(neighbours(0, 11), (None, Some(1), 1));
        assert_eq!(neighbours(1, 21), (Some(0), Some(2), 2));
        assert_eq!(neighbours(9, 11), (Some(8), None, 1));
    }
}
