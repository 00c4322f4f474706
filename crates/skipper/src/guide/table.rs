use crate::render::{display_width, tame};

/// A table with a double frame, as Spring's shell draws it.
#[derive(Debug)]
pub(super) struct Table {
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With a row of headings.
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: Some(header.map(str::to_owned).to_vec()), rows: Vec::new() }
    }

    /// Without one.
    pub(super) const fn bare() -> Self {
        Self { header: None, rows: Vec::new() }
    }

    /// Adds a row; cells may have several lines.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // Line ends are meant; everything else that could steer a terminal is shown.
        let tamed = |cell: String| cell.lines().map(tame).collect::<Vec<_>>().join("\n").replace('\t', " ");
        self.rows.push(cells.into_iter().map(tamed).collect());
    }

    /// As text that ends with a line end, in at most `width` columns if that is possible.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let line = |left: char, joint: char, right: char| {
            let bars: Vec<String> = widths.iter().map(|width| "═".repeat(*width)).collect();
            format!("{left}{}{right}\n", bars.join(&joint.to_string()))
        };
        let mut text = line('╔', '╤', '╗');
        if let Some(header) = &self.header {
            push_row(&mut text, header, &widths, true);
            text.push_str(&line('╠', '╪', '╣'));
        }
        for row in &self.rows {
            push_row(&mut text, row, &widths, false);
        }
        text.push_str(&line('╚', '╧', '╝'));
        text
    }

    /// As wide as the widest line of each column; where that is too much, every column gives up its share of what it has
    /// beyond its longest word.
    fn widths(&self, total: Option<usize>) -> Vec<usize> {
        let rows = || self.header.iter().chain(&self.rows);
        let columns = rows().map(Vec::len).max().unwrap_or_default();
        let widest = |column: usize, measure: &dyn Fn(&str) -> usize| {
            rows().filter_map(|row| row.get(column)).map(|cell| measure(cell)).max().unwrap_or_default()
        };
        let most = |column| widest(column, &|cell| cell.lines().map(display_width).max().unwrap_or_default());
        let least =
            |column| widest(column, &|cell| cell.split_whitespace().map(display_width).max().unwrap_or_default());
        let most: Vec<usize> = (0..columns).map(most).collect();
        let least: Vec<usize> = (0..columns).map(least).collect();
        let Some(room) = total.map(|total| total.saturating_sub(columns + 1)) else { return most };
        let (wanted, needed): (usize, usize) = (most.iter().sum(), least.iter().sum());
        if wanted <= room {
            return most;
        }
        let (spare, slack) = (room.saturating_sub(needed), (wanted - needed).max(1));
        most.iter().zip(&least).map(|(most, least)| least + spare * (most - least) / slack).collect()
    }
}

fn push_row(text: &mut String, cells: &[String], widths: &[usize], centred: bool) {
    let wrapped: Vec<Vec<String>> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| wrap(cells.get(column).map_or("", String::as_str), *width))
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or_default().max(1);
    for line in 0..height {
        text.push('║');
        for (column, width) in widths.iter().enumerate() {
            if column > 0 {
                text.push('│');
            }
            let cell = wrapped[column].get(line).map_or("", String::as_str);
            let blanks = width.saturating_sub(display_width(cell));
            let before = if centred { blanks / 2 } else { 0 };
            text.push_str(&" ".repeat(before));
            text.push_str(cell);
            text.push_str(&" ".repeat(blanks - before));
        }
        text.push_str("║\n");
    }
}

/// Breaks at blanks; a word that is too long is broken where it has to be.
fn wrap(cell: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in cell.lines() {
        if display_width(line) <= width {
            lines.push(line.to_owned());
            continue;
        }
        let mut current = String::new();
        for word in line.split(' ') {
            let room = width.saturating_sub(display_width(&current) + usize::from(!current.is_empty()));
            if display_width(word) <= room {
                if !current.is_empty() {
                    current.push(' ');
                }
                current.push_str(word);
                continue;
            }
            if !current.is_empty() {
                lines.push(std::mem::take(&mut current));
            }
            for letter in word.chars() {
                if !current.is_empty()
                    && display_width(&current) + display_width(letter.encode_utf8(&mut [0; 4])) > width
                {
                    lines.push(std::mem::take(&mut current));
                }
                current.push(letter);
            }
        }
        lines.push(current);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_looks_as_in_the_guide() {
        let mut table = Table::new(["Name", "URL", "Local", "Order"]);
        table.row(["experimental", "http://repo/x", "false", "0"].map(str::to_owned));
        table.row(["local", "http://10.55.13.45:7577", "true", "1"].map(str::to_owned));
        let expected = "\
╔════════════╤═══════════════════════╤═════╤═════╗
║    Name    │          URL          │Local│Order║
╠════════════╪═══════════════════════╪═════╪═════╣
║experimental│http://repo/x          │false│0    ║
║local       │http://10.55.13.45:7577│true │1    ║
╚════════════╧═══════════════════════╧═════╧═════╝
";
        assert_eq!(table.render(None), expected);
        assert_eq!(table.render(Some(50)), expected);
    }

    #[test]
    fn cells_may_have_several_lines_and_there_may_be_no_header() {
        let mut table = Table::bare();
        table.row(["Status".to_owned(), "DEPLOYED".to_owned()]);
        table.row(["Platform Status".to_owned(), "All is well.\n[a], State = [b]".to_owned()]);
        let expected = "\
╔═══════════════╤════════════════╗
║Status         │DEPLOYED        ║
║Platform Status│All is well.    ║
║               │[a], State = [b]║
╚═══════════════╧════════════════╝
";
        assert_eq!(table.render(None), expected);
    }

    #[test]
    fn columns_wrap_to_the_terminal() {
        let mut table = Table::new(["Last updated", "Platform Status"]);
        table.row(["Fri Oct 27 16:39:03 IST 2017".to_owned(), "[hello.hello-v2], State = [x]".to_owned()]);
        let text = table.render(Some(45));
        assert!(text.lines().all(|line| display_width(line) <= 45), "{text}");
        assert!(text.contains("[hello.hello-v2],"), "{text}");
        // Words are longer than the terminal is wide: they stay whole, as in the original.
        let text = table.render(Some(10));
        assert!(text.contains("║16:39:03"), "{text}");
    }

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        let mut table = Table::bare();
        table.row(["a\x1b[2Jb\tc".to_owned()]);
        assert_eq!(table.render(None).lines().nth(1), Some("║a\\u{1b}[2Jb c║"));
    }
}
