//! Quantities as people read them.

/// Bytes in the largest binary unit that keeps the number at 1 or above: `71.50 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.2} {}", UNITS[unit]) }
}

/// A rate with three significant digits or whole numbers: `7.91`, `812`, `6,400`.
pub fn rate(value: f64) -> String {
    match value {
        v if v >= 1000.0 => {
            let whole = v.round() as u64;
            format!("{},{:03}", whole / 1000, whole % 1000)
        }
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.3}").chars().take(4).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!(bytes(75_000_000), "71.53 MiB");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(rate(6400.4), "6,400");
        assert_eq!(rate(81.26), "81.2");
    }
}
