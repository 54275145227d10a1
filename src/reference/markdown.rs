//! A page in Markdown: a table for each field of the spec that has fields itself, and one for the
//! others.

use std::fmt;

use super::{Effect, Field, Page, Row};

/// The head of each table.
const HEAD: &str =
    "| field | values | default | what it is | what Envoy gets |\n|---|---|---|---|---|\n";

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            group_version,
            description,
            ..
        } = self;
        writeln!(f, "# {kind}\n\n{description}\n")?;
        writeln!(
            f,
            "Of `{group_version}`. This page is made by `locum reference {kind}` from the types that Locum reads \
             manifests with; every row is held against the golden cases in `tests/golden`, which a real Envoy \
             takes. A default is what holds where the field is left out. What Envoy gets is named by Envoy's \
             message and the field in it; what is said in quotes is said in the object's status and by `locum check`."
        )?;
        let own: Vec<_> = self
            .fields
            .iter()
            .filter(|(field, _)| section(field).is_none())
            .collect();
        table(f, "spec", &own)?;
        let mut rest = self
            .fields
            .iter()
            .filter(|(field, _)| section(field).is_some())
            .peekable();
        while let Some((field, _)) = rest.peek() {
            let name = section(field).unwrap_or_default().to_owned();
            let mut rows = Vec::new();
            while let Some(row) = rest.next_if(|(field, _)| section(field) == Some(&name)) {
                rows.push(row);
            }
            table(f, &name, &rows)?;
        }
        Ok(())
    }
}

/// The field of the spec that a field is in or that it is, where that has fields.
fn section(field: &Field) -> Option<&str> {
    let below = field.path.strip_prefix("spec.")?;
    let end = below.find(['.', '[']);
    match end {
        Some(end) => Some(&field.path[.."spec.".len() + end]),
        None => (!field.is_leaf).then_some(&field.path),
    }
}

fn table(f: &mut fmt::Formatter<'_>, name: &str, rows: &[&(Field, Option<Row>)]) -> fmt::Result {
    write!(f, "\n## {name}\n\n{HEAD}")?;
    for (field, row) in rows {
        let cells = [
            format!("`{}`", field.path),
            field.values.clone(),
            default(field, row.as_ref()),
            explanation(field),
            row.as_ref().map(effect).unwrap_or_default(),
        ];
        let cells = cells.map(|cell| cell.replace('|', r"\|"));
        writeln!(f, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn default(field: &Field, row: Option<&Row>) -> String {
    if field.is_required {
        return "required".into();
    }
    let said = row.and_then(|row| row.absent.clone());
    said.or_else(|| field.default.clone()).unwrap_or_default()
}

fn explanation(field: &Field) -> String {
    let rules = field.rules.iter().map(|rule| format!(" Rule: {rule}."));
    field.description.clone() + &rules.collect::<String>()
}

fn effect(row: &Row) -> String {
    let mut said = match &row.effect {
        Effect::Envoy(fields) => {
            let fields = fields.iter().map(|field| format!("`{field}`"));
            fields.collect::<Vec<_>>().join(", ")
        }
        Effect::Words(words) => (*words).to_owned(),
        Effect::Like(whole) => format!("as `{whole}`, and so all below it"),
        Effect::Nothing(why) => format!("nothing: {why}"),
        Effect::Refused(words) => format!("refused: \"{words}\""),
    };
    for (values, words) in &row.objections {
        said += &format!("; {values}: \"{words}\"");
    }
    said
}
