//! Regular expressions: whether Envoy takes one.
//!
//! In: an expression of a match. Out: nothing, or why it cannot be used. Envoy refuses a route
//! configuration as a whole for one expression that its engine, RE2, does not know or that is too
//! large, so one route's mistake would keep every other's changes from the proxy. So only what both
//! this crate's parser and RE2 read in the same way is taken, and only up to a size that is counted
//! high. Nothing is matched here.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassBracketed, ClassSet, ClassSetItem, ClassUnicode, ClassUnicodeKind,
    Flag, Flags, FlagsItemKind, GroupKind, HexLiteralKind, Literal, LiteralKind, Repetition,
    RepetitionKind, RepetitionRange, SpecialLiteralKind,
};

use crate::model::MAX_EXPRESSION;

/// RE2's limit of a counted repetition, and of those in each other, multiplied.
const MAX_REPEAT: u64 = 1000;

/// Instructions for a class with a name, and for all bytes but some: above what RE2 needs.
const CLASS: u64 = 32;
/// Instructions for a character or the end of a range, either case.
const CHARACTER: u64 = 4;

/// Envoy has RE2 read bytes, where this crate's parser reads characters.
const ONLY_ASCII: &str = "only ASCII characters can be used, since Envoy matches byte by byte";

/// The general categories of Unicode by the names that RE2 knows.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
    "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So",
    "Z", "Zl", "Zp", "Zs", "Any",
];

/// What a part of an expression costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Instructions, counted high.
    instructions: u64,
    /// How often it repeats itself, by counted repetitions in each other.
    repeats: u64,
}

/// Why `expression` cannot be used, as the end of a sentence.
pub(super) fn check(expression: &str) -> Result<(), String> {
    if !expression.is_ascii() {
        return Err(ONLY_ASCII.into());
    }
    let ast = Parser::new()
        .parse(expression)
        .map_err(|error| last_line(&error.to_string()))?;
    let cost = cost(expression, &ast)?;
    if cost.repeats > MAX_REPEAT {
        return Err(format!("it repeats more than {MAX_REPEAT} times"));
    }
    if cost.instructions > MAX_EXPRESSION.into() {
        return Err("it is too large".into());
    }
    Ok(())
}

/// What is wrong; the crate draws the place over several lines before it.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").into()
}

fn unknown(what: &str) -> String {
    format!("RE2 does not know {what}")
}

fn once(instructions: u64) -> Cost {
    Cost {
        instructions,
        repeats: 1,
    }
}

fn cost(text: &str, ast: &Ast) -> Result<Cost, String> {
    match ast {
        Ast::Empty(_) => Ok(once(1)),
        Ast::Dot(_) => Ok(once(CLASS)),
        Ast::Flags(set) => flags(&set.flags).map(|()| once(1)),
        Ast::Literal(one) => literal(one).map(once),
        Ast::Assertion(assertion) => match assertion.kind {
            AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText
            | AssertionKind::WordBoundary
            | AssertionKind::NotWordBoundary => Ok(once(1)),
            _ => Err(unknown("this kind of word boundary")),
        },
        Ast::ClassPerl(_) => Ok(once(CLASS)),
        Ast::ClassUnicode(class) => unicode(class).map(once),
        Ast::ClassBracketed(class) => bracketed(class).map(once),
        Ast::Repetition(repetition) => repeated(text, repetition),
        Ast::Group(group) => {
            match &group.kind {
                GroupKind::CaptureIndex(_) => {}
                GroupKind::CaptureName { name, .. } => {
                    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    if !name.name.chars().all(plain) {
                        return Err(unknown("such names of groups"));
                    }
                }
                GroupKind::NonCapturing(of) => flags(of)?,
            }
            let inner = cost(text, &group.ast)?;
            Ok(Cost {
                instructions: inner.instructions + 2,
                ..inner
            })
        }
        Ast::Alternation(alternation) => sum(text, &alternation.asts),
        Ast::Concat(concat) => sum(text, &concat.asts),
    }
}

fn sum(text: &str, parts: &[Ast]) -> Result<Cost, String> {
    let mut all = once(0);
    for part in parts {
        let part = cost(text, part)?;
        all.instructions = all.instructions.saturating_add(part.instructions + 1);
        all.repeats = all.repeats.max(part.repeats);
    }
    Ok(all)
}

fn repeated(text: &str, repetition: &Repetition) -> Result<Cost, String> {
    let span = &repetition.op.span;
    let operator = &text[span.start.offset..span.end.offset];
    if operator.starts_with("{,") {
        return Err(unknown("a repetition without its least number"));
    }
    if matches!(*repetition.ast, Ast::Repetition(_)) {
        return Err(unknown("a repetition right after another"));
    }
    let (times, counted) = match &repetition.op.kind {
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => {
            (1, false)
        }
        RepetitionKind::Range(range) => match *range {
            RepetitionRange::Exactly(times) | RepetitionRange::Bounded(_, times) => (times, true),
            RepetitionRange::AtLeast(times) => (times.saturating_add(1), true),
        },
    };
    let times = u64::from(times).max(1);
    let inner = cost(text, &repetition.ast)?;
    Ok(Cost {
        instructions: (inner.instructions + 1).saturating_mul(times),
        repeats: if counted {
            inner.repeats.saturating_mul(times)
        } else {
            inner.repeats
        },
    })
}

fn literal(literal: &Literal) -> Result<u64, String> {
    let known = match &literal.kind {
        LiteralKind::Verbatim | LiteralKind::Meta => true,
        LiteralKind::Superfluous => literal.c != '_',
        LiteralKind::Octal => false,
        LiteralKind::HexFixed(kind) | LiteralKind::HexBrace(kind) => *kind == HexLiteralKind::X,
        LiteralKind::Special(kind) => *kind != SpecialLiteralKind::Space,
    };
    if !known {
        return Err(unknown("this form of a character"));
    }
    if literal.c.is_ascii() {
        Ok(CHARACTER)
    } else {
        Err(ONLY_ASCII.into())
    }
}

fn flags(flags: &Flags) -> Result<(), String> {
    for item in &flags.items {
        match item.kind {
            FlagsItemKind::Negation
            | FlagsItemKind::Flag(
                Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed,
            ) => {}
            FlagsItemKind::Flag(_) => return Err(unknown("the flags u, x and R")),
        }
    }
    Ok(())
}

fn unicode(class: &ClassUnicode) -> Result<u64, String> {
    let name = match &class.kind {
        ClassUnicodeKind::OneLetter(letter) => letter.to_string(),
        ClassUnicodeKind::Named(name) => name.clone(),
        ClassUnicodeKind::NamedValue { .. } => String::new(),
    };
    if CATEGORIES.contains(&name.as_str()) {
        Ok(CLASS)
    } else {
        Err("of Unicode's classes only general categories such as \\p{Lu} can be used".into())
    }
}

fn bracketed(class: &ClassBracketed) -> Result<u64, String> {
    let ClassSet::Item(item) = &class.kind else {
        return Err(unknown("intersections and differences of classes"));
    };
    let items = match item {
        ClassSetItem::Union(union) => union.items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut instructions = if class.negated { CLASS } else { 1 };
    for item in items {
        instructions += match item {
            ClassSetItem::Empty(_) => 0,
            ClassSetItem::Literal(one) => literal(one)?,
            ClassSetItem::Range(range) => literal(&range.start)? + literal(&range.end)?,
            ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => CLASS,
            ClassSetItem::Unicode(class) => unicode(class)?,
            ClassSetItem::Bracketed(_) | ClassSetItem::Union(_) => {
                return Err(unknown("classes in classes"));
            }
        };
    }
    Ok(instructions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_re2_takes_is_taken() {
        let expressions = [
            "/v[0-9]+/.*",
            "(?i)/(?:users|orders)/[^/]{1,64}/?",
            r"^/\d{4}-\d{2}(?P<rest>/\w+)*$",
            r"[[:alpha:]_.\-]+@\x41\x{7e}\p{Lu}\PN",
            "(a{10}){100}",
            r"\.\/\-\bx\B\t",
            "a||b()",
        ];
        for expression in expressions {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn what_re2_does_not_take_is_refused() {
        let expressions = [
            "/[",
            "(?x) a",
            "[a-z&&[^b]]",
            "[a[b]]",
            r"[\w--\d]",
            "a**",
            "a*+",
            "a{,3}",
            "a{1001}",
            "(a{100}){11}",
            "(.{100}){10}",
            "/caf\u{e9}",
            r"\x{e9}",
            r"\u0041",
            r"\p{Letter}",
            r"\p{sc=Greek}",
            r"\b{start}x",
            r"\<x",
            "(?P<a.b>x)",
        ];
        for expression in expressions {
            assert!(check(expression).is_err(), "{expression}");
        }
    }
}
