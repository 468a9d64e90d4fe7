//! Tables of Markdown: read from the project's documents, and printed for people.

/// The rows of the first table below the heading `## TITLE`, cells trimmed, header and rule left out.
pub(crate) fn rows_below<'a>(document: &'a str, title: &str) -> Vec<Vec<&'a str>> {
    let heading = format!("## {title}");
    document
        .lines()
        .skip_while(|line| line.trim_end() != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
        .collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim()
        .trim_matches('|')
        .split('|')
        .map(str::trim)
        .collect()
}

/// The parts of a cell that stand between backquotes.
pub(crate) fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Prints `rows` as a Markdown table with columns of even width.
pub(crate) fn print(header: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain([header[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("| {} |", padded.join(" | "));
    };
    line(&header.iter().map(ToString::to_string).collect::<Vec<_>>());
    line(
        &widths
            .iter()
            .map(|width| "-".repeat(*width))
            .collect::<Vec<_>>(),
    );
    for row in rows {
        line(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_below_the_heading_is_read() {
        let document = "## A\n\n| x |\n|---|\n| 1 |\n\n## B\ntext\n| y | z |\n|---|---|\n| `2` | 3, `4` |\n\n| 5 |\n";
        assert_eq!(rows_below(document, "B"), [["`2`", "3, `4`"]]);
        assert_eq!(quoted("`a: b`, and `c`").collect::<Vec<_>>(), ["a: b", "c"]);
    }
}
