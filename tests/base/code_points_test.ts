import { assertEquals } from "@std/assert";
import { codePointName, isCodePoint } from "../../src/base/code_points.ts";
import { Counters } from "../../src/base/counters.ts";

const Color = { RED: 0, GREEN: 0x0102 } as const;

Deno.test("a known code point has its name, an unknown one survives as a number", () => {
  assertEquals(codePointName(Color, 0), "RED");
  assertEquals(codePointName(Color, 0x0102), "GREEN");
  assertEquals(codePointName(Color, 0x0a), "0x000a");
  assertEquals(codePointName(Color, 0x12345), "0x12345");
});

Deno.test("only values of a registry are its code points", () => {
  assertEquals([0, 0x0102, 1, -1, NaN].map((value) => isCodePoint(Color, value)), [
    true,
    true,
    false,
    false,
    false,
  ]);
});

Deno.test("each reason is counted for itself, and all of them together", () => {
  const drops = new Counters<"replayed" | "forged" | "late">();
  assertEquals([drops.get("forged"), drops.total()], [0, 0]);
  drops.add("replayed");
  drops.add("forged", 3);
  drops.add("forged");
  assertEquals([drops.get("replayed"), drops.get("forged"), drops.get("late")], [1, 4, 0]);
  assertEquals(drops.total(), 5);
  const before = drops.snapshot();
  drops.add("late");
  assertEquals(before, { replayed: 1, forged: 4 });
});
