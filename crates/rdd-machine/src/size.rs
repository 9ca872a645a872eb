//! Sizes as people write them: `4GiB`, `512m`, `0.5 TB`. All units are powers of 1024.

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid size: {0:?}")]
pub struct SizeError(pub String);

/// Reads a size in the manner of Docker's `RAMInBytes`: a number, maybe with a fraction, then
/// maybe a space, one of `k m g t p`, an `i` and a `b`, in either case. A plain number is in bytes.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.to_owned());
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return Err(error());
    }
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(error()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).filter(|size| i64::try_from(*size).is_ok()).ok_or_else(error);
    }
    let size = number.parse::<f64>().map_err(|_| error())? * (1u64 << shift) as f64;
    if size < i64::MAX as f64 { Ok(size as u64) } else { Err(error()) }
}

/// Writes a size with the largest unit in which it is a whole number: `4GiB`, `1536MiB`, `1000B`.
pub fn display(size: u64) -> String {
    let units = [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| size != 0 && size.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", size >> shift),
        None => format!("{size}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_people_write() {
        let good = [
            ("0", 0),
            ("42", 42),
            ("42b", 42),
            ("4GiB", 4 << 30),
            ("512MiB", 512 << 20),
            ("512m", 512 << 20),
            ("1.5G", 3 << 29),
            ("32 kB", 32 << 10),
            ("6442450944", 6_442_450_944),
            ("2TiB", 2 << 40),
            ("1p", 1 << 50),
        ];
        for (text, size) in good {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
        for bad in ["", "GiB", "-1", "4 X", "4GiBB", "4ib", ".5G", "4.", "1.2.3", "4  k", "9999999p", "4 GiB "] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn written_sizes_are_read_back() {
        for size in [0, 1, 1000, 1024, 100 << 30, 1536 << 20, 7 << 40] {
            assert_eq!(parse(&display(size)), Ok(size));
        }
        assert_eq!(display(100 << 30), "100GiB");
    }
}
