//! Go's `text/tabwriter`, for what kubectl uses of it.

/// The least width of a table's column, padding included.
const MIN_WIDTH: usize = 6;
/// The space between a table's columns.
const PADDING: usize = 3;

/// Aligns rows of equally many cells. `widths` keeps what earlier calls needed, so that the lines of a watch stay
/// below each other.
pub(crate) fn align_rows(rows: &[Vec<String>], widths: &mut Vec<usize>) -> String {
    for row in rows {
        let padded = row.len().saturating_sub(1);
        widths.resize(widths.len().max(padded), MIN_WIDTH);
        for (cell, width) in row.iter().take(padded).zip(widths.iter_mut()) {
            *width = (*width).max(cell.chars().count() + PADDING);
        }
    }
    let mut out = String::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if index + 1 < row.len() {
                let space = widths[index].saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', space));
            }
        }
        out.push('\n');
    }
    out
}

/// Aligns a text whose cells end with tabs: a column is a block of lines below each other that have a cell there.
pub(crate) fn tabulate(text: &str, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; line.len().saturating_sub(1)]).collect();
    let most = widths.iter().map(Vec::len).max().unwrap_or_default();
    for column in 0..most {
        let mut start = 0;
        while start < lines.len() {
            let Some(length) = widths[start..].iter().position(|w| w.len() <= column) else {
                block(&lines, &mut widths, start, lines.len(), column, padding);
                break;
            };
            block(&lines, &mut widths, start, start + length, column, padding);
            start += length + 1;
        }
    }
    let mut out = Vec::new();
    for (line, widths) in lines.iter().zip(&widths) {
        let mut text = String::new();
        for (index, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if let Some(width) = widths.get(index) {
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push(text);
    }
    out.join("\n")
}

fn block(lines: &[Vec<&str>], widths: &mut [Vec<usize>], start: usize, end: usize, column: usize, padding: usize) {
    let widest = lines[start..end].iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    for line in &mut widths[start..end] {
        line[column] = if widest == 0 && padding == 0 { 0 } else { widest + padding };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let rows = |texts: &[&[&str]]| -> Vec<Vec<String>> {
            texts.iter().map(|r| r.iter().map(|c| (*c).to_owned()).collect()).collect()
        };
        let mut widths = Vec::new();
        let text = align_rows(&rows(&[&["NAME", "A", "AGE"], &["a-long-name", "1", "5s"]]), &mut widths);
        assert_eq!(text, "NAME          A     AGE\na-long-name   1     5s\n");
        assert_eq!(align_rows(&rows(&[&["b", "2", "6s"]]), &mut widths), "b             2     6s\n");
    }

    #[test]
    fn blocks() {
        let text = tabulate("Name:\ta\nLabels:\tx=1\n\ty=2\nalone\nB:\t1\n", 2);
        assert_eq!(text, "Name:    a\nLabels:  x=1\n         y=2\nalone\nB:  1\n");
    }
}
