// Lays out graphs in the JSON format of ELK, read from the standard input as a list, and prints them with positions.
import ELK from "elkjs/lib/elk.bundled.js";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const elk = new ELK();
const laid = [];
for (const graph of JSON.parse(Buffer.concat(chunks))) laid.push(await elk.layout(graph));
process.stdout.write(JSON.stringify(laid));
