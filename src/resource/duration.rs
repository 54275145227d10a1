//! Durations as Gateway API writes them: `10s`, `1h30m`, `250ms`.
//!
//! The form is Gateway API's (GEP-2257): up to four numbers of up to five digits, each with `h`,
//! `m`, `s` or `ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The pattern of a duration, as the CRDs have it.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

const MAX_PARTS: usize = 4;
const MAX_DIGITS: usize = 5;

/// A length of time, written the way of Gateway API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub time::Duration);

impl Duration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: expected a form such as \"10s\", \"1h30m\" or \"250ms\"")]
pub struct InvalidDuration(String);

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parts(text)
            .map(Self)
            .ok_or_else(|| InvalidDuration(text.into()))
    }
}

fn parts(text: &str) -> Option<time::Duration> {
    let mut rest = text;
    let mut sum = time::Duration::ZERO;
    let mut count = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        count += 1;
        if digits == 0 || digits > MAX_DIGITS || count > MAX_PARTS {
            return None;
        }
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        // "ms" comes first: it begins with another unit's letter.
        let (unit, millis) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        sum += time::Duration::from_millis(number * millis);
    }
    (count > 0).then_some(sum)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let parts = [
            ("h", millis / 3_600_000),
            ("m", millis / 60_000 % 60),
            ("s", millis / 1000 % 60),
            ("ms", millis % 1000),
        ];
        for (unit, number) in parts.into_iter().filter(|(_, number)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u128> {
        text.parse::<Duration>().ok().map(|d| d.0.as_millis())
    }

    #[test]
    fn gateway_api_forms_are_read() {
        assert_eq!(millis("10s"), Some(10_000));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("250ms"), Some(250));
        assert_eq!(millis("1m1ms"), Some(60_001));
        assert_eq!(millis("0s"), Some(0));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "1d",
            "100000s",
            "1s1s1s1s1s",
            "1s ",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0s", "3s", "1h1m1s1ms", "90m"] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
