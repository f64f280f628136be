// Reads an AsyncAPI document from standard input and writes what the AsyncAPI project's parser has against it, as JSON.
import { Parser } from "@asyncapi/parser";
import { text } from "node:stream/consumers";

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
console.log(JSON.stringify({ parsed: document !== undefined, diagnostics }));
