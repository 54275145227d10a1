//! Documents: from a file's text to JSON values that know their lines.
//!
//! In: text. Out: one entry for each document, a value or what is wrong with its syntax. A file is
//! cut at its `---` lines before anything is parsed, so that a broken document takes no other with
//! it. YAML is read as Kubernetes reads it; a key that stands twice is an error. Anchors may be
//! used within bounds.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};

use super::lines::{Inner, Lines};
use super::scalar;

/// How deep values may stand in each other.
pub(super) const DEPTH_LIMIT: usize = 64;

/// How many bytes one document may come to, anchors written out: what keeps a few lines from
/// becoming gigabytes.
pub(super) const SIZE_LIMIT: usize = 64 << 20;

/// What a value costs beside its text, in bytes, towards [`SIZE_LIMIT`].
const VALUE_COST: usize = 64;

/// A part of a file between two `---` lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The line of the file, counted from 1, on which the part begins.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// What a document's syntax is worth: its value and lines.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) lines: Lines,
}

/// What is wrong with a document's syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Counted from 0 at the start of the part.
    pub(super) line: u32,
    pub(super) reason: &'static str,
    /// The field's path, where a field is to blame.
    pub(super) field: String,
    pub(super) message: String,
}

/// Cuts a file's text at its `---` lines. Parts with nothing but comments are left out.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts = Vec::new();
    let (mut begin, mut begin_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_separator(line) {
            push(&mut parts, &text[begin..offset], begin_line);
            // The rest of the line belongs to the document: `--- # comment`, `--- {}`.
            begin = offset + 3;
            begin_line = index + 1;
        }
        offset += line.len();
    }
    push(&mut parts, &text[begin..], begin_line);
    parts
}

fn push<'a>(parts: &mut Vec<Part<'a>>, text: &'a str, line: usize) {
    let is_content = |line: &str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with(['#', '%']) && line.trim_end() != "..."
    };
    if text.lines().any(is_content) {
        parts.push(Part { line, text });
    }
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// The documents of a part: one, or several divided by `...` lines. The first error ends it.
pub(super) fn parse(text: &str) -> Vec<Result<Document, SyntaxError>> {
    // YAML knows no tabs between tokens at a line's start and no UTF-16 escapes; JSON does.
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(text)
        && let [] | [Err(_)] = parse_yaml(text).as_slice()
    {
        let lines = Lines::default();
        return vec![Ok(Document { value, lines })];
    }
    parse_yaml(text)
}

fn parse_yaml(text: &str) -> Vec<Result<Document, SyntaxError>> {
    let mut parser = Parser::new_from_str(text);
    let mut documents = Vec::new();
    let last_line = last_line(text);
    let mut reader = Reader::new(last_line);
    loop {
        let event = match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => return documents,
            Some(Err(error)) => {
                documents.push(Err(syntax(&error, last_line)));
                return documents;
            }
            Some(Ok(event)) => event,
        };
        match reader.take(event) {
            Ok(None) => {}
            Ok(Some(document)) => {
                documents.push(Ok(document));
                reader = Reader::new(last_line);
            }
            Err(error) => {
                documents.push(Err(error));
                return documents;
            }
        }
    }
}

/// The line of a part's last character. The parser counts one more where a text ends in the middle
/// of something.
fn last_line(text: &str) -> u32 {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text).as_bytes();
    let is_end = |pair: &&[u8]| pair[0] == b'\n' || (pair[0] == b'\r' && pair[1] != b'\n');
    let ends = text.windows(2).filter(is_end).count() + usize::from(text.ends_with(b"\n"));
    u32::try_from(ends).unwrap_or(u32::MAX)
}

fn syntax(error: &ScanError, last_line: u32) -> SyntaxError {
    SyntaxError {
        line: line_of(error.marker().line()).min(last_line),
        reason: "Syntax",
        field: String::new(),
        message: format!(
            "is no YAML here (column {}): {}",
            error.marker().col() + 1,
            error.info()
        ),
    }
}

fn line_of(line_from_one: usize) -> u32 {
    u32::try_from(line_from_one.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// A finished value and what it weighs.
#[derive(Clone)]
struct Piece {
    document: Document,
    /// In bytes, anchors written out.
    size: usize,
    /// Levels below it.
    depth: usize,
}

/// A list or a map that is not finished.
enum Open {
    List {
        items: Vec<Value>,
        lines: Vec<Lines>,
    },
    Map {
        fields: Map<String, Value>,
        lines: Vec<(Box<str>, Lines)>,
        /// The key that waits for its value, and its line.
        key: Option<(String, u32)>,
        /// What `<<` brings in.
        merged: Vec<Document>,
    },
}

struct Level {
    open: Open,
    line: u32,
    anchor: usize,
    size: usize,
    depth: usize,
}

/// Builds one document's value from the parser's events.
struct Reader {
    /// Nothing stands below it.
    last_line: u32,
    levels: Vec<Level>,
    anchors: HashMap<usize, Piece>,
    size: usize,
}

impl Reader {
    fn new(last_line: u32) -> Self {
        Self {
            last_line,
            levels: Vec::new(),
            anchors: HashMap::new(),
            size: 0,
        }
    }

    fn take(&mut self, (event, span): (Event<'_>, Span)) -> Result<Option<Document>, SyntaxError> {
        let line = line_of(span.start.line()).min(self.last_line);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), line)?;
                let lines = Lines::at(line);
                let size = VALUE_COST + text.len();
                self.check_bounds(size, 0, line)?;
                self.size += size;
                let document = Document { value, lines };
                let depth = 0;
                self.add(
                    Piece {
                        document,
                        size,
                        depth,
                    },
                    anchor,
                    line,
                )
            }
            Event::Alias(id) => {
                let Some(piece) = self.anchors.get(&id) else {
                    return Err(self.error(line, "Syntax", "names an anchor within itself"));
                };
                self.check_bounds(piece.size, piece.depth, line)?;
                let piece = piece.clone();
                self.size += piece.size;
                self.add(piece, 0, line)
            }
            Event::SequenceStart(anchor, _) => {
                let (items, lines) = (Vec::new(), Vec::new());
                self.open(Open::List { items, lines }, anchor, line)
            }
            Event::MappingStart(anchor, _) => {
                let open = Open::Map {
                    fields: Map::new(),
                    lines: Vec::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.open(open, anchor, line)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let level = self.levels.pop().expect("the parser closes what it opened");
                let (anchor, size, depth, start) =
                    (level.anchor, level.size, level.depth, level.line);
                let document = closed(level);
                self.add(
                    Piece {
                        document,
                        size,
                        depth,
                    },
                    anchor,
                    start,
                )
            }
            _ => Ok(None),
        }
    }

    fn open(
        &mut self,
        open: Open,
        anchor: usize,
        line: u32,
    ) -> Result<Option<Document>, SyntaxError> {
        self.check_bounds(VALUE_COST, 1, line)?;
        self.size += VALUE_COST;
        self.levels.push(Level {
            open,
            line,
            anchor,
            size: VALUE_COST,
            depth: 1,
        });
        Ok(None)
    }

    /// Whether there is room for `size` more bytes and `depth` more levels.
    fn check_bounds(&self, size: usize, depth: usize, line: u32) -> Result<(), SyntaxError> {
        if self.levels.len() + depth > DEPTH_LIMIT {
            let message = format!("is nested more than {DEPTH_LIMIT} levels deep");
            return Err(self.error(line, "TooLarge", message));
        }
        if self.size + size > SIZE_LIMIT {
            let mebibytes = SIZE_LIMIT >> 20;
            let message = format!("comes to more than {mebibytes} MiB, anchors written out");
            return Err(self.error(line, "TooLarge", message));
        }
        Ok(())
    }

    /// Puts a finished value where it belongs; gives the document if that was its outermost.
    fn add(
        &mut self,
        piece: Piece,
        anchor: usize,
        line: u32,
    ) -> Result<Option<Document>, SyntaxError> {
        if anchor > 0 {
            self.check_bounds(piece.size, 0, line)?;
            self.size += piece.size;
            self.anchors.insert(anchor, piece.clone());
        }
        let Piece {
            document,
            size,
            depth,
        } = piece;
        let Some(level) = self.levels.last_mut() else {
            return Ok(Some(document));
        };
        level.size += size;
        level.depth = level.depth.max(depth + 1);
        match &mut level.open {
            Open::List { items, lines } => {
                items.push(document.value);
                lines.push(document.lines);
            }
            Open::Map {
                fields,
                lines,
                key,
                merged,
            } => match key.take() {
                None => match key_text(document.value) {
                    Some(text) if fields.contains_key(&text) => {
                        return Err(self.duplicate(&text, line));
                    }
                    Some(text) => *key = Some((text, line)),
                    None => return Err(self.error(line, "Syntax", "has a key that is no text")),
                },
                Some((text, _)) if text == "<<" && is_mergeable(&document.value) => {
                    merged.push(document);
                }
                Some((text, key_line)) => {
                    let mut inner = document.lines;
                    inner.line = key_line;
                    lines.push((text.as_str().into(), inner));
                    fields.insert(text, document.value);
                }
            },
        }
        Ok(None)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        line: u32,
    ) -> Result<Value, SyntaxError> {
        let core = tag
            .filter(|tag| tag.is_yaml_core_schema())
            .map(|tag| tag.suffix.as_str());
        if core == Some("str") || core == Some("binary") {
            return Ok(text.into());
        }
        if style != ScalarStyle::Plain && core.is_none() {
            return Ok(text.into());
        }
        scalar::plain(text).ok_or_else(|| {
            self.error(
                line,
                "Syntax",
                format!("is {text}, which no manifest can hold"),
            )
        })
    }

    fn duplicate(&self, key: &str, line: u32) -> SyntaxError {
        let is_another_object = self.path().is_empty() && matches!(key, "apiVersion" | "kind");
        let message = if is_another_object {
            "stands twice; put `---` on a line between two objects"
        } else {
            "stands twice; remove one of the two"
        };
        let mut error = self.error(line, "DuplicateKey", message);
        if !error.field.is_empty() {
            error.field.push('.');
        }
        error.field.push_str(key);
        error
    }

    fn error(&self, line: u32, reason: &'static str, message: impl Into<String>) -> SyntaxError {
        SyntaxError {
            line,
            reason,
            field: self.path(),
            message: message.into(),
        }
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for level in &self.levels {
            match &level.open {
                Open::List { items, .. } => path.push_str(&format!("[{}]", items.len())),
                Open::Map {
                    key: Some((key, _)),
                    ..
                } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Open::Map { .. } => {}
            }
        }
        path
    }
}

/// Keys that are numbers or truth values become text, as in Kubernetes.
fn key_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn is_mergeable(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().all(Value::is_object),
        _ => false,
    }
}

fn closed(level: Level) -> Document {
    let line = level.line;
    match level.open {
        Open::List { items, lines } => Document {
            value: Value::Array(items),
            lines: Lines {
                line,
                inner: Inner::Items(lines),
            },
        },
        Open::Map {
            mut fields,
            mut lines,
            merged,
            ..
        } => {
            for document in merged {
                merge(document, &mut fields, &mut lines);
            }
            Document {
                value: Value::Object(fields),
                lines: Lines {
                    line,
                    inner: Inner::Fields(lines),
                },
            }
        }
    }
}

/// Adds what `<<` brings in: what stands in the map itself wins, then what comes first.
fn merge(document: Document, fields: &mut Map<String, Value>, lines: &mut Vec<(Box<str>, Lines)>) {
    match (document.value, document.lines.inner) {
        (Value::Object(brought), Inner::Fields(places)) => {
            let mut places: HashMap<Box<str>, Lines> = places.into_iter().collect();
            for (key, value) in brought {
                if !fields.contains_key(&key) {
                    let place = places.remove(key.as_str()).unwrap_or_default();
                    lines.push((key.as_str().into(), place));
                    fields.insert(key, value);
                }
            }
        }
        (Value::Array(values), Inner::Items(places)) => {
            for (value, lines_of) in values.into_iter().zip(places) {
                let document = Document {
                    value,
                    lines: lines_of,
                };
                merge(document, fields, lines);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
