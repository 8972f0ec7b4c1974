// Parses Mermaid diagrams: reads a list of texts as JSON, and writes what each is, or why it is none.
//
// Mermaid's parser cleans labels with DOMPurify, which needs a browser. Nothing is drawn here, so they stay.
import { text } from "node:stream/consumers";
import DOMPurify from "dompurify";

DOMPurify.addHook = () => {};
DOMPurify.sanitize = (label) => label;
const { default: mermaid } = await import("mermaid");

async function parse(source) {
  try {
    await mermaid.parse(source);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(source);
    const nodes = Object.fromEntries([...db.getVertices().values()].map((node) => [node.id, node.text ?? node.id]));
    return { nodes, edges: db.getEdges().map(({ start, end }) => [start, end]) };
  } catch (error) {
    return { error: error.message };
  }
}

const answers = [];
for (const source of JSON.parse(await text(process.stdin))) answers.push(await parse(source));
console.log(JSON.stringify(answers));
