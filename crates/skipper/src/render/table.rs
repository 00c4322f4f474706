use comfy_table::{CellAlignment, ContentArrangement, presets};

use super::{Paint, Style, tame};

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    state_column: Option<usize>,
    right: Vec<usize>,
}

impl Table {
    /// With these columns.
    pub(crate) fn new(header: impl IntoIterator<Item = &'static str>) -> Self {
        Self { header: header.into_iter().collect(), rows: Vec::new(), state_column: None, right: Vec::new() }
    }

    /// The column whose words are states, painted accordingly.
    #[must_use]
    pub(crate) fn states(mut self, column: usize) -> Self {
        self.state_column = Some(column);
        self
    }

    /// Columns of numbers.
    #[must_use]
    pub(crate) fn right(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.right = columns.into_iter().collect();
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| tame(&cell).replace('\t', " ")).collect());
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned to `width` columns of a terminal, or with tabs between the cells.
    pub(crate) fn render(&self, paint: Paint, width: Option<usize>) -> String {
        let Some(width) = width else {
            let lines = std::iter::once(self.header.join("\t")).chain(self.rows.iter().map(|row| row.join("\t")));
            return lines.map(|line| line + "\n").collect();
        };
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(width).unwrap_or(u16::MAX))
            .set_header(self.header.iter().copied());
        for row in &self.rows {
            table.add_row(row);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text = table.to_string();
        let mut lines = text.lines().map(str::trim_end);
        let header = lines.next().unwrap_or_default();
        let states = self.state_column.and_then(|column| header.find(self.header[column]));
        let mut out = paint.style(Style::Strong, header) + "\n";
        for line in lines {
            out.push_str(&states.map_or_else(|| line.to_owned(), |column| painted(paint, line, column)));
            out.push('\n');
        }
        out
    }
}

/// Paints the state word that stands at that column, if one does.
fn painted(paint: Paint, line: &str, column: usize) -> String {
    // The header is ASCII; a row may hold anything before the column.
    let Some(start) = line.char_indices().nth(column).map(|(start, _)| start) else { return line.to_owned() };
    let word = line[start..].split(' ').next().unwrap_or_default();
    match Style::of_state(word) {
        Some(style) => format!("{}{}{}", &line[..start], paint.style(style, word), &line[start + word.len()..]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["NAME", "REV", "STATE"]).states(2).right([1]);
        table.row(["web".into(), "12".into(), "live".into()]);
        table.row(["a-long-name".into(), "3".into(), "failed".into()]);
        table
    }

    #[test]
    fn on_a_terminal_columns_are_aligned() {
        let text = sample().render(Paint::new(false), Some(80));
        assert_eq!(text, "NAME         REV  STATE\nweb           12  live\na-long-name    3  failed\n");
    }

    #[test]
    fn the_word_of_the_state_column_alone_is_painted() {
        let mut table = Table::new(["NAME", "STATE"]).states(1);
        table.row(["live".into(), "failed".into()]);
        let text = table.render(Paint::new(true), Some(80));
        assert_eq!(text, "\x1b[1mNAME  STATE\x1b[0m\nlive  \x1b[31mfailed\x1b[0m\n");
    }

    #[test]
    fn elsewhere_cells_are_separated_by_one_tab() {
        assert_eq!(
            sample().render(Paint::new(false), None),
            "NAME\tREV\tSTATE\nweb\t12\tlive\na-long-name\t3\tfailed\n"
        );
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        let mut table = Table::new(["A"]);
        table.row(["x\x1b[31m\ny".into()]);
        assert_eq!(table.render(Paint::new(false), None), "A\nx\\u{1b}[31m\\ny\n");
    }
}
