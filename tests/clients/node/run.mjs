// The official Node SDKs, as they come, against one address. Prints what they saw as JSON:
// {"calls": [{"name", "text", "usage"}], "free": [...], "errors": [{"sdk", "key", ...}]}.
// node run.mjs ADDRESS KEY TAG [KEY_THAT_IS_REFUSED ...]
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [address, key, tag, ...refusedKeys] = process.argv.slice(2);
const SAID = "Say exactly these words, please.";
const messages = [{ role: "user", content: SAID }];
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const echo = { headers: { "x-standin": `tag=${tag}; echo=1` } };
const plain = { headers: { "x-standin": `tag=${tag}` } };

function clients(apiKey, fetch) {
  const more = fetch ? { fetch } : {};
  return {
    openai: new OpenAI({ apiKey, baseURL: `${address}/v1`, ...more }),
    anthropic: new Anthropic({ apiKey, authToken: null, baseURL: address, ...more }),
  };
}

const { openai, anthropic } = clients(key);
const calls = [];
const saw = (name, text, usage) => calls.push({ name, text, usage });

// OpenAI
const chat = { model: "gpt-5-mini", messages };
const whole = await openai.chat.completions.create(chat, echo);
saw("chat", whole.choices[0].message.content, whole.usage);

let text = "";
let usage;
const options = { stream: true, stream_options: { include_usage: true } };
for await (const chunk of await openai.chat.completions.create({ ...chat, ...options }, echo)) {
  text += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
saw("chat", text, usage);

const tools = [{ type: "function", function: { name: "weather", parameters: city } }];
const called = await openai.chat.completions.create({ ...chat, tools }, plain);
saw("chat", called.choices[0].message.tool_calls[0].function.name, called.usage);

const helped = openai.chat.completions.stream({ ...chat, ...options }, echo);
const final = await helped.finalChatCompletion();
saw("chat", final.choices[0].message.content, final.usage);

const ask = { model: "gpt-5-mini", input: SAID };
const response = await openai.responses.create(ask, echo);
saw("responses", response.output_text, response.usage);

for await (const event of await openai.responses.create({ ...ask, stream: true }, echo)) {
  if (event.type === "response.output_text.done") text = event.text;
  if (event.type === "response.completed") saw("responses", text, event.response.usage);
}

const vectors = await openai.embeddings.create(
  { model: "text-embedding-3-small", input: SAID }, plain);
saw("embeddings", String(vectors.data[0].embedding.length), vectors.usage);

// Anthropic
const wish = { model: "claude-haiku-4-5", max_tokens: 200, messages };
const message = await anthropic.messages.create(wish, echo);
saw("messages", message.content[0].text, message.usage);

const stream = anthropic.messages.stream(wish, echo);
const streamed = await stream.finalMessage();
saw("messages", streamed.content[0].text, streamed.usage);

const tool = { name: "weather", input_schema: city };
const used = await anthropic.messages.create({ ...wish, tools: [tool] }, plain);
saw("messages", used.content[0].name, used.usage);

// What costs nothing
const free = [];
for await (const model of openai.models.list()) free.push(model.id);
free.push((await anthropic.messages.countTokens({ model: wish.model, messages })).input_tokens);

// What is refused: which class, and how often it was tried
const errors = [];
for (const refused of refusedKeys) {
  for (const sdk of ["openai", "anthropic"]) {
    let tries = 0;
    const counted = (...args) => (tries++, fetch(...args));
    const made = clients(refused, counted)[sdk];
    try {
      await (sdk === "openai" ? made.chat.completions : made.messages).create(
        sdk === "openai" ? chat : wish, plain);
    } catch (error) {
      const told = error.error?.error ?? error.error;
      errors.push({
        sdk, tries, name: error.constructor.name, status: error.status, code: told?.code,
        request_id: error.requestID ?? error.request_id,
      });
    }
  }
}
console.log(JSON.stringify({ calls, free, errors }));
