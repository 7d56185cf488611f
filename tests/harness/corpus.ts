// Lines of real text: the RFCs where they are beside the project, else a text of the same size that is made from a
// seed.

import { granted } from "./permissions.ts";
import { Random } from "./random.ts";

/** One line of one document. */
export interface CorpusLine {
  readonly document: string;
  /** Counted from 1. */
  readonly number: number;
  readonly text: string;
}

const RFC_FOLDER = new URL("../../../shared/rfc", import.meta.url).pathname;

/** Lines of a corpus that has to be made. */
const MADE_LINES = 60_000;

/** The corpus, in a fixed order. */
export function loadCorpus(): { readonly source: string; readonly lines: CorpusLine[] } {
  const lines = rfcLines();
  return lines.length > 0
    ? { source: "RFCs", lines }
    : { source: "made from seed 1", lines: madeLines(1) };
}

function rfcLines(): CorpusLine[] {
  if (!granted({ name: "read", path: RFC_FOLDER })) return [];
  try {
    const names = [...Deno.readDirSync(RFC_FOLDER)].map(({ name }) => name)
      .filter((name) => name.endsWith(".txt")).sort();
    return names.flatMap((name) =>
      linesOf(name.slice(0, -".txt".length), Deno.readTextFileSync(`${RFC_FOLDER}/${name}`))
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function linesOf(document: string, text: string): CorpusLine[] {
  return text.split("\n").map((line, i) => ({ document, number: i + 1, text: line }));
}

const SYLLABLES = "re cord hand shake frag ment ack pack et se al ey cli ent server time out".split(
  " ",
);

function madeLines(seed: number): CorpusLine[] {
  const random = new Random(seed);
  const words = Array.from(
    { length: 2_000 },
    () => Array.from({ length: random.integer(1, 3) }, () => random.pick(SYLLABLES)).join(""),
  );
  // What RFCs say often, so that the same questions have answers.
  words.push(
    "handshake",
    "record",
    "sequence",
    "number",
    "epoch",
    "MUST",
    "client",
    "server",
    "größe",
    "sequence number",
  );
  return Array.from({ length: MADE_LINES }, (_, i) => {
    const count = random.chance(0.2) ? 0 : random.integer(4, 12);
    const text = Array.from({ length: count }, () => random.pick(words)).join(" ");
    return { document: `made${Math.floor(i / 2_000)}`, number: i % 2_000 + 1, text };
  });
}
