//! The three dialects in which a model is asked over HTTP: what is sent, and what the stream says.

use serde_json::{Value, json};

use super::problem::Problem;
use super::{Endpoint, Kind};
use crate::agent::Shape;
use crate::stream::{ErrorKind, Usage};

/// What Anthropic is told where no limit is set, since it has to be told one.
const USUAL_TOKENS: u64 = 8192;
/// The name of the answer by a schema.
const ANSWER: &str = "answer";
/// A longer reply is not kept.
const MOST: usize = 16 * 1024 * 1024;

/// A request, but for the key.
pub(super) struct Request {
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

/// Makes the request for a prompt, and for an answer by a schema where the endpoint takes one.
pub(super) fn request(endpoint: &Endpoint, prompt: &str, schema: Option<&Value>) -> Request {
    let message = json!([{ "role": "user", "content": prompt }]);
    let (model, most) = (&endpoint.model, endpoint.max_tokens);
    let strict = endpoint.schema == Some(Shape::Strict);
    let mut body;
    let (path, headers) = match endpoint.kind {
        Kind::OpenaiChat => {
            body = json!({ "model": model, "messages": message, "stream": true,
                "stream_options": { "include_usage": true } });
            if let Some(schema) = schema {
                let format = json!({ "name": ANSWER, "strict": strict, "schema": schema });
                body["response_format"] = json!({ "type": "json_schema", "json_schema": format });
            }
            if most > 0 {
                // OpenAI itself refuses the old name, others know only that.
                let name = if endpoint.is_of("api.openai.com") { "max_completion_tokens" } else { "max_tokens" };
                body[name] = json!(most);
            }
            ("/chat/completions", Vec::new())
        }
        Kind::OpenaiResponses => {
            body = json!({ "model": model, "input": message, "stream": true, "store": false });
            if let Some(schema) = schema {
                let format = json!({ "type": "json_schema", "name": ANSWER, "strict": strict, "schema": schema });
                body["text"] = json!({ "format": format });
            }
            if most > 0 {
                body["max_output_tokens"] = json!(most);
            }
            ("/responses", Vec::new())
        }
        Kind::Anthropic => {
            let most = if most > 0 { most } else { USUAL_TOKENS };
            body = json!({ "model": model, "messages": message, "stream": true, "max_tokens": most });
            if let Some(schema) = schema {
                body["tools"] = json!([{ "name": ANSWER, "description": "Gives the answer.", "input_schema": schema }]);
                body["tool_choice"] = json!({ "type": "tool", "name": ANSWER });
            }
            ("/messages", vec![("anthropic-version", "2023-06-01".to_owned())])
        }
    };
    Request { path, headers, body }
}

/// A stream as far as it was read.
#[derive(Debug)]
pub(super) struct Reply {
    kind: Kind,
    text: String,
    /// The answer in pieces, where it comes as the use of a tool.
    tool: String,
    pub(super) usage: Usage,
    ended: bool,
}

impl Reply {
    pub(super) fn new(kind: Kind) -> Reply {
        Reply { kind, text: String::new(), tool: String::new(), usage: Usage::default(), ended: false }
    }

    /// Takes one event of the stream.
    ///
    /// # Errors
    /// When it says that there will be no answer.
    pub(super) fn take(&mut self, event: &Value) -> Result<(), Problem> {
        let error = event.get("error").filter(|error| !error.is_null());
        if let Some(error) = error.or_else(|| event.pointer("/response/error").filter(|error| !error.is_null())) {
            return Err(Problem::told(error));
        }
        match self.kind {
            Kind::OpenaiChat => self.chat(event),
            Kind::OpenaiResponses => self.responses(event),
            Kind::Anthropic => self.anthropic(event),
        }?;
        match self.text.len() + self.tool.len() > MOST {
            true => Err(Problem::model(format!("the reply has more than {MOST} bytes"))),
            false => Ok(()),
        }
    }

    fn chat(&mut self, event: &Value) -> Result<(), Problem> {
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            self.usage =
                usage_of(usage, ["prompt_tokens", "completion_tokens"], "/prompt_tokens_details/cached_tokens");
        }
        let Some(choice) = event.pointer("/choices/0") else { return Ok(()) };
        if let Some(refusal) = choice.pointer("/delta/refusal").and_then(Value::as_str) {
            return Err(Problem::model(format!("the model refuses: {refusal}")));
        }
        self.text.push_str(choice.pointer("/delta/content").and_then(Value::as_str).unwrap_or_default());
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some("stop") => self.ended = true,
            Some(reason) => return Err(Problem::unfinished(reason)),
            None => {}
        }
        Ok(())
    }

    fn responses(&mut self, event: &Value) -> Result<(), Problem> {
        match event.get("type").and_then(Value::as_str) {
            Some("response.output_text.delta") => {
                self.text.push_str(event.get("delta").and_then(Value::as_str).unwrap_or_default());
            }
            Some("response.refusal.done") => {
                let refusal = event.get("refusal").and_then(Value::as_str).unwrap_or_default();
                return Err(Problem::model(format!("the model refuses: {refusal}")));
            }
            Some("response.completed") => {
                if let Some(usage) = event.pointer("/response/usage").filter(|usage| usage.is_object()) {
                    self.usage =
                        usage_of(usage, ["input_tokens", "output_tokens"], "/input_tokens_details/cached_tokens");
                }
                self.ended = true;
            }
            Some("response.incomplete") => {
                let reason = event.pointer("/response/incomplete_details/reason").and_then(Value::as_str);
                return Err(Problem::unfinished(reason.unwrap_or("incomplete")));
            }
            Some("response.failed" | "error") => return Err(Problem::told(event)),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn anthropic(&mut self, event: &Value) -> Result<(), Problem> {
        let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
        match event.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                let usage = event.pointer("/message/usage").cloned().unwrap_or_default();
                let cached = number(&usage, "cache_read_input_tokens");
                let input = number(&usage, "input_tokens") + cached + number(&usage, "cache_creation_input_tokens");
                self.usage = Usage { input, cached, output: number(&usage, "output_tokens"), cost: None };
            }
            Some("content_block_delta") => {
                let piece = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
                self.text.push_str(piece("/delta/text"));
                self.tool.push_str(piece("/delta/partial_json"));
            }
            Some("message_delta") => {
                let output = event.get("usage").map_or(0, |usage| number(usage, "output_tokens"));
                self.usage.output = self.usage.output.max(output);
                match event.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    Some("end_turn" | "tool_use" | "stop_sequence") | None => {}
                    Some(reason) => return Err(Problem::unfinished(reason)),
                }
            }
            Some("message_stop") => self.ended = true,
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Returns the whole text once the stream is over.
    ///
    /// # Errors
    /// When it was over too early, or said nothing.
    pub(super) fn finish(self) -> Result<String, Problem> {
        if !self.ended {
            return Err(Problem::again(ErrorKind::Network, "the stream ended before the reply did".to_owned()));
        }
        let text = if self.tool.is_empty() { self.text } else { self.tool };
        match text.trim().is_empty() {
            true => Err(Problem::again(ErrorKind::Model, "the reply is empty".to_owned())),
            false => Ok(text),
        }
    }
}

fn usage_of(usage: &Value, [input, output]: [&str; 2], cached: &str) -> Usage {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    let cached = number(usage.pointer(cached));
    Usage { input: number(usage.get(input)), cached, output: number(usage.get(output)), cost: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, events: &[Value]) -> Result<(String, u64), String> {
        let mut reply = Reply::new(kind);
        for event in events {
            reply.take(event).map_err(|problem| problem.text)?;
        }
        let input = reply.usage.input;
        reply.finish().map(|text| (text, input)).map_err(|problem| problem.text)
    }

    #[test]
    fn a_reply_counts_only_with_its_end() {
        let delta = |text: &str| json!({ "choices": [{ "delta": { "content": text }, "finish_reason": null }] });
        let end = |reason: &str| json!({ "choices": [{ "delta": {}, "finish_reason": reason }] });
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 2 } });
        let whole = [delta("a"), delta("b"), end("stop"), usage];
        assert_eq!(read(Kind::OpenaiChat, &whole), Ok(("ab".to_owned(), 7)));
        assert!(read(Kind::OpenaiChat, &whole[..2]).is_err());
        assert!(read(Kind::OpenaiChat, &[delta("a"), end("length")]).unwrap_err().contains("length"));
        assert!(read(Kind::OpenaiChat, &[json!({ "error": { "message": "no" } })]).unwrap_err().contains("no"));
    }

    #[test]
    fn a_tool_of_anthropic_is_the_answer() {
        let events = [
            json!({ "type": "message_start", "message": { "usage": { "input_tokens": 5, "cache_read_input_tokens": 3 } } }),
            json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "Well: " } }),
            json!({ "type": "content_block_delta", "delta": { "type": "input_json_delta", "partial_json": "{\"a\"" } }),
            json!({ "type": "content_block_delta", "delta": { "type": "input_json_delta", "partial_json": ":1}" } }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 4 } }),
            json!({ "type": "message_stop" }),
        ];
        assert_eq!(read(Kind::Anthropic, &events), Ok(("{\"a\":1}".to_owned(), 8)));
        assert!(read(Kind::Anthropic, &events[..5]).is_err());
    }
}
