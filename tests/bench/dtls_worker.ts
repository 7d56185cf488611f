// A Worker that measures one crypto provider by itself: V8 compiles it as in a program, which has one. It is told which
// lines of which provider, answers with their names, and with their rates as often as it is asked.

import { dtlsLines, type Line, primitivesLines } from "./dtls_lines.ts";
import { PRESENT_PROVIDERS } from "./measure.ts";

/** What a Worker measures. */
export interface Measured {
  /** The index of a present provider. */
  readonly provider: number;
  readonly lines: "dtls" | "primitives";
}

declare const self: {
  postMessage(message: string[] | number[]): void;
  onmessage: (event: MessageEvent<Measured | "measure">) => Promise<void>;
};

let lines: readonly Line[] = [];

self.onmessage = async ({ data }) => {
  if (data === "measure") return self.postMessage(lines.map(({ measure }) => measure()));
  const makeLines = data.lines === "dtls" ? dtlsLines : primitivesLines;
  lines = await makeLines(PRESENT_PROVIDERS[data.provider]!);
  self.postMessage(lines.map(({ what }) => what));
};
