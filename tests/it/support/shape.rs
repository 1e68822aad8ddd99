//! The shape of an answer: names of members in the order they were sent, and types.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// `{code:number,users:[{userId:string}]}`: an array shows the shapes of its entries, each once.
pub fn shape(json: &str) -> String {
    serde_json::from_str::<Shape>(json).unwrap_or_else(|e| panic!("not JSON ({e}): {json}")).0
}

struct Shape(String);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<String, E> {
        Ok("bool".into())
    }

    fn visit_i64<E>(self, _: i64) -> Result<String, E> {
        Ok("number".into())
    }

    fn visit_u64<E>(self, _: u64) -> Result<String, E> {
        Ok("number".into())
    }

    fn visit_f64<E>(self, _: f64) -> Result<String, E> {
        Ok("fraction".into())
    }

    fn visit_str<E>(self, _: &str) -> Result<String, E> {
        Ok("string".into())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        let mut shapes = BTreeSet::new();
        while let Some(Shape(entry)) = seq.next_element()? {
            shapes.insert(entry);
        }
        Ok(format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join("|")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut members = Vec::new();
        while let Some((name, Shape(value))) = map.next_entry::<String, Shape>()? {
            members.push(format!("{name}:{value}"));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }
}

#[test]
fn a_shape_keeps_the_order_of_members_and_tells_types_apart() {
    let json = r#"{"b":1,"a":["x",{"d":null,"c":true}],"e":1.5,"f":[]}"#;
    assert_eq!(shape(json), "{b:number,a:[string|{d:null,c:bool}],e:fraction,f:[]}");
}
