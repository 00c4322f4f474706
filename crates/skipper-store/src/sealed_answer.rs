//! Answers that hold a secret: their bodies are sealed as long as they are kept, bound to whose key they lie under.

use crate::{
    Error, IdempotencyKey, StoredAnswer,
    seal::{Key, KeyRing},
};

/// Stands among the headers of an answer whose body is sealed, with the name of the key. No header can be called so.
const MARK: &str = ":sealed";

/// The same answer, to be kept.
pub(crate) fn seal(key: &Key, of: &IdempotencyKey, mut answer: StoredAnswer) -> StoredAnswer {
    answer.body = key.seal_bytes(&bond(of), &answer.body);
    answer.headers.push((MARK.to_owned(), key.id.clone()));
    answer
}

/// An answer as it was given, sealed or not.
pub(crate) fn open(keys: &KeyRing, of: &IdempotencyKey, mut answer: StoredAnswer) -> Result<StoredAnswer, Error> {
    let Some(at) = answer.headers.iter().position(|(name, _)| name == MARK) else { return Ok(answer) };
    let (_, id) = answer.headers.swap_remove(at);
    let key = keys.key(false)?;
    if key.id != id {
        return Err(Error::Key {
            problem: format!("an answer was sealed with key {id}, and the key here is {}", key.id),
            hint:
                "put the key file of that time back (it is not part of a backup), or ask under another idempotency key"
                    .into(),
        });
    }
    answer.body =
        key.open_bytes(&bond(of), &answer.body).ok_or_else(|| Error::corrupt("a sealed answer does not open"))?;
    Ok(answer)
}

/// Begins with a NUL, which the name of no tenant does: nothing that is sealed elsewhere opens here.
fn bond(of: &IdempotencyKey) -> Vec<u8> {
    let mut bond = b"\0answer".to_vec();
    for part in [of.tenant.as_str(), &of.actor, &of.key] {
        bond.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bond.extend_from_slice(part.as_bytes());
    }
    bond
}
