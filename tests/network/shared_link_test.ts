// Fairness is no luck: a bulk stream has its share of a link with TCP whenever it begins.

import { forEachSeed } from "../harness/simulation.ts";
import { sharedLink } from "./shared_link.ts";

Deno.test("beside CUBIC of TCP, each gets 35 to 65 % of the link, at each of 10 seeds", () => {
  const times = { beforeMs: 1_000, settleMs: 3_000, measureMs: 8_000 };
  forEachSeed(10, (seed) => void sharedLink({ seed, congestion: "cubic", ...times }));
});

// CUBIC grows faster where a period without loss is long, so the shares of a few seconds differ more.
Deno.test("beside New Reno of TCP, each gets 35 to 65 % of the link, at each of 4 seeds", () => {
  const times = { beforeMs: 1_000, settleMs: 3_000, measureMs: 20_000 };
  forEachSeed(4, (seed) => void sharedLink({ seed, congestion: "newreno", ...times }));
});
