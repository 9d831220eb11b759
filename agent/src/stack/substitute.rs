//! Variables in a stack file's text, which faas-cli replaces before it reads it
//! (<https://github.com/drone/envsubst>): `${NAME}`, `${NAME:-default}` with `:=` and `=` for the same, and `$$` for
//! a `$`. What else it knows (`${NAME:?..}`, `${NAME%..}`, ..) differs between its versions, and is refused.

/// A text with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Substituted {
    pub(super) text: String,
    /// Variables that were replaced with nothing, since nobody has set them.
    pub(super) unset: Vec<String>,
}

/// Something that is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) line: usize,
    pub(super) expression: String,
}

/// Replaces the variables.
///
/// # Errors
/// When one is written in a way that faas-cli does not understand either, or in different ways.
pub(super) fn substitute(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Substituted, Refused> {
    let mut reader = Reader {
        text,
        at: 0,
        variable,
        unset: Vec::new(),
    };
    let text = reader.text()?;
    let mut unset = reader.unset;
    unset.sort();
    unset.dedup();
    Ok(Substituted { text, unset })
}

/// The text that faas-cli takes for this one.
pub(super) fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('$', "$$")
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    variable: &'a dyn Fn(&str) -> Option<String>,
    unset: Vec<String>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn text(&mut self) -> Result<String, Refused> {
        let mut read = String::new();
        while let Some(length) = self.rest().find(['$', '\\']) {
            read.push_str(self.take(length));
            let rest = self.rest();
            if rest.starts_with("${") {
                read.push_str(&self.expression()?);
                continue;
            }
            if ["$$", r"\\", r"\/"].iter().any(|it| rest.starts_with(it)) {
                self.take(1);
            }
            read.push_str(self.take(1));
        }
        read.push_str(self.rest());
        Ok(read)
    }

    fn expression(&mut self) -> Result<String, Refused> {
        let (start, unset) = (self.at, self.unset.len());
        self.take("${".len());
        let is_other = |it: char| !it.is_alphanumeric() && it != '_';
        let length = self.rest().find(is_other).unwrap_or(self.rest().len());
        let name = self.take(length);
        let operators = [":-", ":=", "="];
        let operator = operators.iter().find(|it| self.rest().starts_with(**it));
        let default = match operator {
            Some(operator) => {
                self.take(operator.len());
                Some(self.default()?)
            }
            None => None,
        };
        if name.is_empty() || !self.rest().starts_with('}') {
            return Err(self.refused(start));
        }
        self.take(1);
        let value = (self.variable)(name);
        if value.is_none() && default.is_none() {
            self.unset.push(name.to_owned());
        }
        match value.filter(|value| !value.is_empty()) {
            Some(value) => {
                // What a default would have needed does not matter.
                self.unset.truncate(unset);
                Ok(value)
            }
            None => Ok(default.unwrap_or_default()),
        }
    }

    fn default(&mut self) -> Result<String, Refused> {
        let mut read = String::new();
        while let Some(length) = self.rest().find(['$', '}']) {
            read.push_str(self.take(length));
            if self.rest().starts_with('}') {
                break;
            } else if self.rest().starts_with("${") {
                read.push_str(&self.expression()?);
            } else {
                read.push_str(self.take(1));
            }
        }
        Ok(read)
    }

    fn refused(&self, start: usize) -> Refused {
        let expression = self.text[start..].lines().next().unwrap_or_default();
        let end = expression.find('}').map_or(expression.len(), |at| at + 1);
        Refused {
            line: self.text[..start].matches('\n').count() + 1,
            expression: expression[..end].to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Substituted, Refused> {
        let variable = |name: &str| match name {
            "TAG" => Some("1.20".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("a${TAG}$$".to_owned()),
            _ => None,
        };
        substitute(text, &variable)
    }

    #[test]
    fn variables_are_replaced_as_faas_cli_does() {
        for (text, expected) in [
            ("image: r/f:${TAG}", "image: r/f:1.20"),
            ("${TAG}${TAG}", "1.201.20"),
            ("${NONE:-x}${NONE:=y}${NONE=z}", "xyz"),
            ("${TAG:-x}${EMPTY:-x}", "1.20x"),
            ("${NONE:-http://127.0.0.1:8080}", "http://127.0.0.1:8080"),
            ("${NONE:-${TAG}}", "1.20"),
            ("${NONE:-a$b-${TAG}-c}", "a$b-1.20-c"),
            ("a${NONE}b${EMPTY}c", "abc"),
            // Values are not looked into.
            ("${DOLLAR}", "a${TAG}$$"),
            // No braces, no variable.
            ("$TAG $", "$TAG $"),
            ("$${TAG} $$$$ $$TAG", "${TAG} $$ $TAG"),
            (r"a\nb \\n \/ \", r"a\nb \n / \"),
            ("größe: ${TAG}ü", "größe: 1.20ü"),
        ] {
            assert_eq!(run(text).unwrap().text, expected, "{text}");
        }
    }

    #[test]
    fn what_differs_between_versions_is_refused_with_its_line() {
        for expression in [
            "${}",
            "${TAG:?unset}",
            "${TAG:+x}",
            "${TAG-x}",
            "${TAG%0}",
            "${TAG/1/2}",
            "${TAG:1}",
            "${#TAG}",
            "${TAG^^}",
            "${TAG",
            "${NONE:-${TAG}",
        ] {
            let refused = run(&format!("a\nb: {expression}")).unwrap_err();
            assert_eq!(refused.line, 2, "{expression}");
            assert!(expression.contains(&refused.expression), "{refused:?}");
        }
    }

    #[test]
    fn unset_variables_without_a_default_are_noted() {
        let unset = |text| run(text).unwrap().unset;
        assert_eq!(unset("${NONE}${TAG}${EMPTY}${OTHER:-}${NONE}"), ["NONE"]);
        assert_eq!(unset("${NONE:-${OTHER}}"), ["OTHER"]);
        assert!(unset("${TAG:-${OTHER}}").is_empty());
    }

    #[test]
    fn what_is_escaped_comes_out_as_it_was() {
        for text in [
            "${TAG}",
            "$$",
            "$",
            r"\",
            r"\\",
            r"\/",
            r"a\nb",
            "${NONE:-x}$",
        ] {
            assert_eq!(run(&escape(text)).unwrap().text, text);
        }
    }
}
