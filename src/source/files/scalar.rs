//! What a plain YAML scalar means, as Kubernetes reads it.
//!
//! Kubernetes' decoder keeps YAML 1.1's words (`yes`, `off`) and numbers (`0x1f`, `0o17`, `017`,
//! `1_000`).

use serde_json::{Number, Value};

/// The value of a plain (unquoted, untagged) scalar; `None` for a number that JSON cannot hold.
pub(super) fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Some(true.into());
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Some(false.into());
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF"
        | ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Some(text.into());
    }
    if let Some(number) = integer(text).or_else(|| float(text)) {
        return Some(Value::Number(number));
    }
    Some(text.into())
}

fn integer(text: &str) -> Option<Number> {
    let text = text.replace('_', "");
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (radix, digits) = radix(digits);
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if is_negative {
        0i64.checked_sub_unsigned(size).map(Number::from)
    } else {
        Some(Number::from(size))
    }
}

fn radix(digits: &str) -> (u32, &str) {
    for (prefix, radix) in [
        ("0x", 16),
        ("0X", 16),
        ("0o", 8),
        ("0O", 8),
        ("0b", 2),
        ("0B", 2),
    ] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return (radix, rest);
        }
    }
    match digits.strip_prefix('0') {
        Some(rest) if !rest.is_empty() => (8, rest),
        _ => (10, digits),
    }
}

fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && is_digits(digits)
    };
    if !has_digits || !is_digits(whole) || !is_digits(fraction) || !exponent.is_none_or(is_exponent)
    {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_and_numbers_mean_what_kubernetes_reads() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("80", json!(80)),
            ("-1", json!(-1)),
            ("1_000", json!(1000)),
            ("0x1f", json!(31)),
            ("017", json!(15)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("10s", json!("10s")),
            ("1.2.3.4", json!("1.2.3.4")),
            ("-", json!("-")),
            ("2026-01-31", json!("2026-01-31")),
            ("09", json!(9.0)),
            ("a", json!("a")),
        ] {
            assert_eq!(plain(text), Some(value), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_hold_have_no_value() {
        assert_eq!(plain(".inf"), None);
        assert_eq!(plain(".NaN"), None);
    }
}
