//! `gpuctl list`: the service domain and its vGPUs as a table.

use crate::domains;
use crate::error::Result;
use crate::nodes;
use crate::text::Untrusted;
use crate::xenstore::Xenstore;

/// Columns of a vGPU: heading and node.
const COLUMNS: [(&str, &str); 6] = [
    ("STATE", "state"),
    ("LOW-GM", "low-gm"),
    ("HIGH-GM", "high-gm"),
    ("FENCES", "fences"),
    ("WEIGHT", "weight"),
    ("DISPLAY", "display"),
];

/// The whole answer as text.
pub fn list(store: &mut Xenstore, service: u32) -> Result<String> {
    let mut about =
        |name: &str| -> Result<String> { word(store, &nodes::of_service(service, name)) };
    let mut text = format!(
        "service domain d{service}: {}, version {}, free: {} MiB low, {} MiB high, {} fences\n",
        about("state")?,
        about("version")?,
        about("free-low-gm")?,
        about("free-high-gm")?,
        about("free-fences")?,
    );
    let reason = store.read(&nodes::of_service(service, "reason"))?;
    if let Some(reason) = reason.filter(|reason| !reason.0.is_empty()) {
        text.push_str(&format!("  {reason}\n"));
    }

    let mut rows = vec![vec!["DOMAIN".to_owned(), "NAME".to_owned()]];
    rows[0].extend(COLUMNS.map(|(heading, _)| heading.to_owned()));
    rows[0].push("REASON".to_owned());
    for name in store.directory(&nodes::vgpus(service))? {
        let Some(guest) = Untrusted::from(name.as_str()).number() else {
            continue;
        };
        let domain = domains::name(store, guest)?;
        let mut row = vec![
            format!("d{guest}"),
            domain.map_or_else(|| "(gone)".to_owned(), |name| name.to_string()),
        ];
        for (_, node) in COLUMNS {
            row.push(word(store, &nodes::of_vgpu(service, guest, node))?);
        }
        let reason = store.read(&nodes::of_vgpu(service, guest, "reason"))?;
        row.push(reason.map(|reason| reason.to_string()).unwrap_or_default());
        rows.push(row);
    }
    if rows.len() == 1 {
        text.push_str("no vGPUs\n");
    } else {
        text.push_str(&table(&rows));
    }
    Ok(text)
}

fn word(store: &mut Xenstore, path: &str) -> Result<String> {
    Ok(store
        .read(path)?
        .map_or_else(|| "-".to_owned(), |value| value.to_string()))
}

/// Left-aligned columns two blanks apart.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
