//! The answer in the last words of an agent: asked for one JSON value, they like to wrap it in more.

use serde_json::Value;

use super::schema::Schema;

/// So many beginnings of a value are tried.
const TRIES: usize = 200;

/// Finds the value that fits the schema, or says what is wrong.
///
/// # Errors
/// The problems, a line each.
pub(crate) fn find(words: &str, schema: &Schema) -> Result<Value, Vec<String>> {
    let values = values_in(words).map_err(|why| vec![why])?;
    let mut fitting: Vec<&Value> = Vec::new();
    for value in values.iter().filter(|value| schema.problems(value).is_empty()) {
        if !fitting.contains(&value) {
            fitting.push(value);
        }
    }
    match fitting[..] {
        [value] => Ok(value.clone()),
        // What is quoted may fit as well as what is meant.
        [_, _, ..] => Err(vec![format!("there are {} different values that fit, and one is wanted", fitting.len())]),
        [] => Err(values.first().map(|value| schema.problems(value)).unwrap_or_default()),
    }
}

/// The whole is the value; or what is fenced; or the values between the words. Never a part of one that is cut off.
fn values_in(words: &str) -> Result<Vec<Value>, String> {
    let words = words.trim();
    let whole = match serde_json::from_str(words) {
        Ok(value) => return Ok(vec![value]),
        Err(error) => error,
    };
    let fenced: Vec<Value> = fenced(words).into_iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    if !fenced.is_empty() {
        return Ok(fenced);
    }
    let mut values = Vec::new();
    let (mut at, mut tries) = (0, 0);
    while let Some(next) = words[at..].find(['{', '[']).filter(|_| tries < TRIES) {
        let begin = at + next;
        let mut stream = serde_json::Deserializer::from_str(&words[begin..]).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
                values.push(value);
                at = begin + stream.byte_offset();
            }
            Some(Err(error)) if error.is_eof() => return Err("the JSON value is cut off".to_owned()),
            // Meant as one: what is inside it is not the answer.
            Some(Err(error)) if is_meant(&words[begin + 1..]) => return Err(format!("the JSON is broken: {error}")),
            Some(Err(_)) | None => at = begin + 1,
        }
        tries += 1;
    }
    match values.is_empty() {
        true if words.starts_with(['{', '[', '"']) => Err(format!("it is no JSON: {whole}")),
        true => Err("there is no JSON value in it".to_owned()),
        false => Ok(values),
    }
}

/// Says whether a bracket begins JSON, by what follows it, and no remark such as [1] or {name}.
fn is_meant(rest: &str) -> bool {
    rest.trim_start().starts_with(['"', '{', '['])
}

/// The blocks between lines that begin with three backticks.
fn fenced(words: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut begin, mut at) = (None, 0);
    for line in words.split_inclusive('\n') {
        let end = at + line.len();
        if line.trim_start().starts_with("```") {
            match begin.take() {
                Some(begin) => blocks.push(&words[begin..at]),
                None => begin = Some(end),
            }
        }
        at = end;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(words: &str) -> Result<String, String> {
        values_in(words).map(|values| values.iter().map(Value::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_value_is_found_in_words() {
        for words in [
            " {\"a\":[1]} \n",
            "Here:\n```json\n{\"a\": [1]}\n```\nand {\"b\":2}",
            "I looked [see below] and say {\"a\":[1]}.",
        ] {
            assert_eq!(values(words).as_deref(), Ok("{\"a\":[1]}"), "{words}");
        }
        assert_eq!(values("null").as_deref(), Ok("null"));
        assert_eq!(values("{\"a\":1} or {\"a\":2}").as_deref(), Ok("{\"a\":1} {\"a\":2}"));
    }

    #[test]
    fn a_part_of_a_value_that_is_cut_off_is_none() {
        for words in ["{\"a\":{\"b\":1},\"c\":[1,", "Well: {\"a\":{\"b\":1},", "```json\n{\"a\":{\"b\":1},\n```\n"] {
            assert!(values(words).is_err(), "{words}");
        }
        assert_eq!(values("So: {\"a\":[{\"b\":1},"), Err("the JSON value is cut off".to_owned()));
        assert!(values("no value at all").is_err() && values("").is_err() && values("{a: 1}").is_err());
    }
}
