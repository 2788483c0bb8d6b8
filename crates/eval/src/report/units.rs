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

/// A whole number with commas between thousands.
pub fn whole(value: u64) -> String {
    let digits = value.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// Bytes from what people write: `2GiB`, `500 MB`, `1.5GiB`, `4096`.
///
/// # Errors
/// When it is not a number with a unit of bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024f64.powi(2),
        "g" | "gib" => 1024f64.powi(3),
        "t" | "tib" => 1024f64.powi(4),
        _ => return Err(format!("'{unit}' is not a unit of bytes: give GiB, MiB, GB or MB")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("'{text}' is not a size: give 2GiB, for example"))?;
    let bytes = number * factor;
    if bytes >= u64::MAX as f64 {
        return Err(format!("'{text}' is more bytes than 64 bits can count: give a smaller size"));
    }
    Ok(bytes as u64)
}

/// A rate with three significant digits or whole numbers: `7.91`, `812`, `6,400`.
pub fn rate(value: f64) -> String {
    match value {
        v if v >= 1000.0 => whole(v.round() as u64),
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
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(whole(12), "12");
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("1.5 kb"), Ok(1500));
        assert_eq!(parse_bytes("77"), Ok(77));
        assert!(parse_bytes("2 apples").is_err());
        assert!(parse_bytes("GiB").is_err());
        assert!(parse_bytes("16777216TiB").expect_err("2⁶⁴").contains("64 bits"));
    }
}
