import { SCENARIOS } from "./scenarios.ts";

for (const { name, run } of SCENARIOS) {
  Deno.test(name, () => void run(1));
}
