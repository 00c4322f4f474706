//! Zips made by hand, so that they can lie.

/// An entry with whatever its headers are to say.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// The name in front of the data, when it is another one.
    pub(crate) local_name: Option<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    /// Unix mode; 0 for none.
    pub(crate) mode: u32,
    /// The size it claims, when that is a lie.
    pub(crate) size: Option<u32>,
    pub(crate) crc: Option<u32>,
}

/// Names are UTF-8.
pub(crate) const UTF8: u16 = 1 << 11;

pub(crate) fn entry(name: &str, data: &str) -> Entry {
    Entry {
        name: name.into(),
        local_name: None,
        data: data.into(),
        method: 0,
        flags: UTF8,
        mode: 0o100_644,
        size: None,
        crc: None,
    }
}

pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = u32_of(out.len());
        let crc = entry.crc.unwrap_or_else(|| crc32(&entry.data));
        let size = entry.size.unwrap_or(u32_of(entry.data.len()));
        let local = entry.local_name.as_ref().unwrap_or(&entry.name);
        let common = |name: &[u8]| {
            let mut bytes = Vec::new();
            for number in [20, entry.flags, entry.method, 0, 0x21] {
                bytes.extend(number.to_le_bytes());
            }
            for number in [crc, u32_of(entry.data.len()), size] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(u16_of(name.len()).to_le_bytes());
            bytes.extend(0_u16.to_le_bytes());
            bytes
        };
        out.extend(b"PK\x03\x04");
        out.extend(common(local));
        out.extend(local);
        out.extend(&entry.data);
        directory.extend(b"PK\x01\x02");
        directory.extend(0x031E_u16.to_le_bytes());
        directory.extend(common(&entry.name));
        for number in [0_u16, 0, 0] {
            directory.extend(number.to_le_bytes());
        }
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&entry.name);
    }
    let start = u32_of(out.len());
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(u16_of(entries.len()).to_le_bytes());
    out.extend(u16_of(entries.len()).to_le_bytes());
    out.extend(u32_of(directory.len()).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn u32_of(n: usize) -> u32 {
    u32::try_from(n).expect("small")
}

fn u16_of(n: usize) -> u16 {
    u16::try_from(n).expect("small")
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
