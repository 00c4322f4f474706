use std::sync::Arc;

/// Slots of a node. Two levels make 4,096 buckets: 2.4 entries in each at 10,000 routes.
const FAN: usize = 64;

/// A hash map that is cheap to copy and to change: a changed copy shares all but one path with the original. That is what
/// makes setting one service cost the same at 10 and at 10,000 routes while readers keep the table they loaded.
///
/// The caller brings hash and equality, so that a lookup needs no owned key.
#[derive(Debug)]
pub(crate) struct Map<E> {
    root: Vec<Option<Arc<Node<E>>>>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Node<E> {
    buckets: Vec<Option<Arc<[Slot<E>]>>>,
}

#[derive(Debug, Clone)]
struct Slot<E> {
    hash: u64,
    entry: E,
}

impl<E> Clone for Map<E> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

impl<E> Default for Map<E> {
    fn default() -> Self {
        Self { root: Vec::new(), len: 0 }
    }
}

/// Indices by the highest bits, which the hash's last mixing step makes the best ones.
const fn path(hash: u64) -> (usize, usize) {
    ((hash >> 58) as usize, (hash >> 52) as usize & (FAN - 1))
}

impl<E: Clone> Map<E> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, hash: u64, is: impl Fn(&E) -> bool) -> Option<&E> {
        let (top, low) = path(hash);
        let bucket = self.root.get(top)?.as_ref()?.buckets[low].as_ref()?;
        bucket.iter().find(|slot| slot.hash == hash && is(&slot.entry)).map(|slot| &slot.entry)
    }

    /// Inserts, or replaces the entry that `is` the same.
    pub(crate) fn insert(&mut self, hash: u64, entry: E, is: impl Fn(&E) -> bool) {
        let bucket = self.bucket(hash);
        let mut slots: Vec<Slot<E>> = bucket.as_deref().unwrap_or_default().to_vec();
        let place = slots.iter().position(|slot| slot.hash == hash && is(&slot.entry));
        match place {
            Some(at) => slots[at].entry = entry,
            None => slots.push(Slot { hash, entry }),
        }
        *bucket = Some(slots.into());
        self.len += usize::from(place.is_none());
    }

    /// Removes the entry that `is` the one.
    pub(crate) fn remove(&mut self, hash: u64, is: impl Fn(&E) -> bool) -> bool {
        if self.get(hash, &is).is_none() {
            return false;
        }
        let bucket = self.bucket(hash);
        let rest: Vec<Slot<E>> = bucket
            .as_deref()
            .unwrap_or_default()
            .iter()
            .filter(|slot| slot.hash != hash || !is(&slot.entry))
            .cloned()
            .collect();
        *bucket = if rest.is_empty() { None } else { Some(rest.into()) };
        self.len -= 1;
        true
    }

    fn bucket(&mut self, hash: u64) -> &mut Option<Arc<[Slot<E>]>> {
        let (top, low) = path(hash);
        if self.root.is_empty() {
            self.root.resize(FAN, None);
        }
        let node = self.root[top].get_or_insert_with(|| Arc::new(Node { buckets: vec![None; FAN] }));
        &mut Arc::make_mut(node).buckets[low]
    }
}

/// FNV-1a over the parts of a key, mixed at the end. Keys come from the control socket, never from clients, so nobody
/// can choose colliding ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    pub(crate) const fn number(mut self, number: u32) -> Self {
        self.0 = (self.0 ^ number as u64).wrapping_mul(0x0000_0100_0000_01b3);
        self
    }

    pub(crate) const fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(key: u16) -> u64 {
        // Few distinct hashes, so that buckets have collisions.
        Hash::new().number(u32::from(key % 97)).finish()
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_map_and_leaves_older_copies_alone(
            changes in prop::collection::vec((any::<bool>(), 0_u16..300, any::<u32>()), 0..400)
        ) {
            let mut map: Map<(u16, u32)> = Map::default();
            let mut model = BTreeMap::new();
            let mut older = Vec::new();
            for (at, (insert, key, value)) in changes.into_iter().enumerate() {
                if at % 50 == 0 {
                    older.push((map.clone(), model.clone()));
                }
                if insert {
                    map.insert(hash(key), (key, value), |entry| entry.0 == key);
                    model.insert(key, value);
                } else {
                    prop_assert_eq!(map.remove(hash(key), |entry| entry.0 == key), model.remove(&key).is_some());
                }
            }
            older.push((map, model));
            for (map, model) in older {
                prop_assert_eq!(map.len(), model.len());
                for key in 0..300 {
                    prop_assert_eq!(map.get(hash(key), |entry| entry.0 == key).map(|entry| &entry.1), model.get(&key));
                }
            }
        }
    }
}
