//! A function's entry, with every scalar that faas-cli takes for text as the text that stands in the file: `3.10` is
//! no number there.
use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

/// Another map whose fields come in where this one has none of their names (YAML's merge key).
const MERGE: &str = "<<";

/// An entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry(pub(super) Map<String, Value>);

/// Names with texts: variables, labels, arguments.
struct Texts(Map<String, Value>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a function's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (mut own, mut merged) = (Map::new(), Map::new());
        while let Some(field) = map.next_key::<String>()? {
            let value = match field.as_str() {
                MERGE => {
                    merged = map.next_value::<Merged<Entry>>()?.fields;
                    continue;
                }
                "lang" | "handler" | "image" | "fprocess" | "namespace" | "platforms" => {
                    map.next_value::<Option<String>>()?.into()
                }
                "secrets" | "constraints" | "environment_file" | "build_options" => {
                    map.next_value::<Option<Vec<String>>>()?.into()
                }
                "environment" | "labels" | "annotations" | "build_args" | "limits" | "requests" => {
                    let texts = map.next_value::<Option<Texts>>()?;
                    texts.map(|texts| texts.0).into()
                }
                _ => map.next_value()?,
            };
            own.insert(field, value);
        }
        merged.extend(own);
        Ok(Entry(merged))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("names with texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let (mut own, mut merged) = (BTreeMap::new(), Map::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == MERGE {
                merged = map.next_value::<Merged<Texts>>()?.fields;
            } else {
                let text = map.next_value::<Option<String>>()?;
                own.insert(name, text.unwrap_or_default());
            }
        }
        merged.extend(own.into_iter().map(|(name, text)| (name, text.into())));
        Ok(Texts(merged))
    }
}

/// What a merge key brings in: a map, or a list of them, the first of which that has a field counts.
struct Merged<T> {
    fields: Map<String, Value>,
    of: PhantomData<T>,
}

impl From<Entry> for Map<String, Value> {
    fn from(entry: Entry) -> Self {
        entry.0
    }
}

impl From<Texts> for Map<String, Value> {
    fn from(texts: Texts) -> Self {
        texts.0
    }
}

impl<'de, T: Deserialize<'de> + Into<Map<String, Value>>> Deserialize<'de> for Merged<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_any(MergedVisitor(PhantomData::<T>))?;
        Ok(Self {
            fields,
            of: PhantomData,
        })
    }
}

struct MergedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Into<Map<String, Value>>> Visitor<'de> for MergedVisitor<T> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("fields, or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut merged = Map::new();
        while let Some(next) = list.next_element::<T>()? {
            for (name, value) in next.into() {
                merged.entry(name).or_insert(value);
            }
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        Value::from(serde_norway::from_str::<Entry>(text).unwrap().0)
    }

    #[test]
    fn scalars_of_texts_stay_as_they_are_written() {
        let text = "
            image: 1.20
            environment: {PYTHON: 3.10, HEX: 0x1F, BIG: 1e3, TRUE: True, YES: yes, LONG: 99999999999999999999,
                          OCTAL: 0755, QUOTED: '3.10', NO: null, TILDE: ~, NONE: , WORD: 'null', 1: one}
            limits: {cpu: 0.50, memory: 64}
            labels: {version: 1.0}
            annotations: {at: 2026-11-29}
            build_args: {GO: 1.20}
            secrets: [1.0]
            fprocess:
            readonly_root_filesystem: true";
        let entry = read(text);
        let environment = json!({
            "PYTHON": "3.10", "HEX": "0x1F", "BIG": "1e3", "TRUE": "True", "YES": "yes",
            "LONG": "99999999999999999999", "OCTAL": "0755", "QUOTED": "3.10", "NO": "", "TILDE": "", "NONE": "",
            "WORD": "null", "1": "one",
        });
        assert_eq!(entry["environment"], environment);
        assert_eq!(entry["image"], "1.20");
        assert_eq!(entry["limits"], json!({"cpu": "0.50", "memory": "64"}));
        assert_eq!(entry["labels"]["version"], "1.0");
        assert_eq!(entry["annotations"]["at"], "2026-11-29");
        assert_eq!(entry["build_args"]["GO"], "1.20");
        assert_eq!(entry["secrets"], json!(["1.0"]));
        assert!(entry["fprocess"].is_null());
        assert_eq!(entry["readonly_root_filesystem"], true);
    }

    #[test]
    fn what_is_merged_comes_in_below_what_is_written() {
        let text = "
            base: &base {lang: python3, environment: {A: 1.0, B: 2.0}}
            f:
              <<: *base
              environment: {<<: {B: 3.0, C: 3.0}, B: 4.0}
            g: {<<: *base}
            h:
              <<: [{lang: node, environment: {D: 1.0}}, *base, {fprocess: 1.0}]";
        let entries: BTreeMap<String, Entry> = serde_norway::from_str(text).unwrap();
        let entry = |name: &str| Value::from(entries[name].0.clone());
        let f = json!({"lang": "python3", "environment": {"B": "4.0", "C": "3.0"}});
        assert_eq!(entry("f"), f);
        assert_eq!(entry("g"), entry("base"));
        let h = json!({"lang": "node", "environment": {"D": "1.0"}, "fprocess": "1.0"});
        assert_eq!(entry("h"), h);
    }

    #[test]
    fn a_list_in_the_place_of_a_text_is_told_with_its_line() {
        let error = serde_norway::from_str::<Entry>("environment:\n  A: [1]\n").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("environment.A") && error.contains("line 2"),
            "{error}"
        );
    }
}
