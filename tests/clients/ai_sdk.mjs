// The Vercel AI SDK: pictures, texts, and pictures by the tool of responses.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { experimental_generateImage as generateImageOld, generateImage as generateImageNew, generateText, streamText } from "ai";

const generateImage = generateImageNew ?? generateImageOld;
const baseURL = process.env.OPENAI_BASE_URL, apiKey = process.env.OPENAI_API_KEY;
const openai = createOpenAI({ baseURL, apiKey });
const other = createOpenAICompatible({ name: "storybook", baseURL, apiKey });
const prompt = "a red castle in a meadow at sunset";
const maxRetries = 0;

async function row(what, call) {
  try { await call(); console.log(`${what} | works`); }
  catch (error) { console.log(`${what} | FAILS: ${String(error?.message ?? error).slice(0, 300)}`); }
}
function check(right) { if (!right) throw new Error("not what was expected"); }
function isPicture(image) { check(image.uint8Array[0] === 0x89 || image.uint8Array[0] === 0xff); }

await row("picture", async () => {
  const { image } = await generateImage({ model: openai.image("storybook-sd"), prompt, size: "512x512", maxRetries });
  isPicture(image);
});
await row("picture, openai-compatible", async () => {
  const { image } = await generateImage({ model: other.imageModel("storybook-sd"), prompt, maxRetries });
  isPicture(image);
});
await row("edit of a picture", async () => {
  const { image } = await generateImage({ model: openai.image("storybook-sd"), prompt, maxRetries });
  const edited = await generateImage({
    model: openai.image("storybook-sd"), prompt: { text: "a red castle at night", images: [image.uint8Array] }, maxRetries,
  });
  isPicture(edited.image);
});
await row("text by responses", async () => {
  const { text } = await generateText({ model: openai("gpt-6-luna"), prompt: "a cat on a beach", maxRetries });
  check(text.includes("cat"));
});
await row("chat, streamed", async () => {
  const { textStream } = streamText({ model: openai.chat("storybook-grammar"), prompt: "a cat on a beach", maxRetries });
  let text = "";
  for await (const piece of textStream) text += piece;
  check(text.includes("cat"));
});
await row("picture by the tool of responses", async () => {
  const answer = await generateText({
    model: openai("gpt-6-luna"), prompt, maxRetries, tools: { image_generation: openai.tools.imageGeneration({ outputFormat: "png" }) },
  });
  const results = answer.steps.flatMap((step) => step.toolResults ?? []).concat(answer.staticToolResults ?? []);
  check(results.some((result) => result.output?.result?.startsWith("iVBOR")));
});
