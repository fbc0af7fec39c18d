// OpenAI's own client for node.
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ maxRetries: 0 });
const prompt = "a red castle in a meadow at sunset";

async function row(what, call) {
  try { await call(); console.log(`${what} | works`); }
  catch (error) { console.log(`${what} | FAILS: ${String(error?.message ?? error).slice(0, 300)}`); }
}
function check(right) { if (!right) throw new Error("not what was expected"); }

let picture;
await row("picture", async () => {
  const answer = await client.images.generate({ model: "gpt-image-2", prompt, quality: "low" });
  picture = Buffer.from(answer.data[0].b64_json, "base64");
  check(picture[0] === 0x89);
});
await row("edit of a picture, streamed", async () => {
  const image = await toFile(picture, "a.png", { type: "image/png" });
  const events = await client.images.edit({ model: "gpt-image-2", prompt, image, stream: true, partial_images: 1 });
  const kinds = [];
  for await (const event of events) kinds.push(event.type);
  check(kinds.at(-1) === "image_edit.completed" && kinds.length === 2);
});
await row("picture by the tool of responses, streamed", async () => {
  const events = await client.responses.create({
    model: "gpt-6-luna", input: prompt, stream: true, tools: [{ type: "image_generation", partial_images: 2 }],
  });
  const kinds = [];
  for await (const event of events) kinds.push(event.type);
  check(kinds.filter((kind) => kind.endsWith("partial_image")).length === 2);
});
await row("structured output is refused", async () => {
  try { await client.responses.parse({ model: "gpt-6-luna", input: "a cat", text: { format: { type: "json_schema", name: "a", schema: {} } } }); }
  catch (error) { return check(error.message.includes("A grammar writes plain text")); }
  check(false);
});
