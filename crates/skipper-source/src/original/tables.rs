use std::collections::BTreeMap;

use serde_json::Value;

/// One value of a row; numbers, truth and times as the text they were written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A text, or anything that is written as one.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Cell {
    /// As a text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bytes(_) => None,
        }
    }

    /// As a whole number.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        self.text()?.trim().parse().ok()
    }
}

/// Rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns, in lower case.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// Tables by name, in lower case and without the prefix `skipper_`, which came with version 1.0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables(pub BTreeMap<String, Table>);

/// A row, by column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    columns: &'a [String],
    cells: &'a [Cell],
}

impl<'a> Row<'a> {
    pub(super) fn get(&self, column: &str) -> &'a Cell {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at)).unwrap_or(&Cell::Null)
    }

    pub(super) fn text(&self, column: &str) -> Option<String> {
        self.get(column).text().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(super) fn number(&self, column: &str) -> Option<i64> {
        self.get(column).number()
    }
}

impl Tables {
    /// Adds a table whose rows were read as JSON objects, as a database writes its rows. Bytes are `\x` and hexadecimal
    /// digits.
    pub fn add_json(&mut self, name: &str, rows: &[Value]) {
        let mut table = Table::default();
        for row in rows.iter().filter_map(Value::as_object) {
            for column in row.keys().filter(|column| !table.columns.contains(column)).collect::<Vec<_>>() {
                table.columns.push(column.clone());
                table.rows.iter_mut().for_each(|row| row.push(Cell::Null));
            }
            table.rows.push(table.columns.iter().map(|column| row.get(column).map_or(Cell::Null, cell)).collect());
        }
        self.0.insert(plain_name(name), table);
    }

    pub(super) fn rows(&self, name: &str) -> impl Iterator<Item = Row<'_>> {
        self.0
            .get(name)
            .into_iter()
            .flat_map(|table| table.rows.iter().map(|cells| Row { columns: &table.columns, cells }))
    }

    /// The rows of a table by their `id`.
    pub(super) fn by_id(&self, name: &str) -> BTreeMap<i64, Row<'_>> {
        self.rows(name).filter_map(|row| Some((row.number("id")?, row))).collect()
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => match text.strip_prefix("\\x").map(|hex| (hex.len().is_multiple_of(2), hex)) {
            Some((true, hex)) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => Cell::Bytes(
                (0..hex.len()).step_by(2).filter_map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect(),
            ),
            _ => Cell::Text(text.clone()),
        },
        other => Cell::Text(other.to_string()),
    }
}

/// Lower case, without the prefix that later versions have.
pub(super) fn plain_name(name: &str) -> String {
    let name = name.to_lowercase();
    name.strip_prefix("skipper_").map_or_else(|| name.clone(), str::to_owned)
}
