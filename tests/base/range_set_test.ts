import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { RangeSet } from "../../src/base/range_set.ts";

const operations = fc.array(
  fc.record({ add: fc.boolean(), start: fc.nat(60), length: fc.nat(12) }),
  { maxLength: 40 },
);

Deno.test("a range set behaves like a set of its members", () => {
  fc.assert(fc.property(operations, (steps) => {
    const ranges = new RangeSet();
    const model = new Set<number>();
    for (const { add, start, length } of steps) {
      if (add) ranges.addRange(start, start + length);
      else ranges.removeRange(start, start + length);
      for (let i = start; i < start + length; i++) add ? model.add(i) : model.delete(i);
      assertEquals(ranges.size, model.size);
    }
    for (let i = 0; i < 80; i++) assertEquals(ranges.has(i), model.has(i));
    assertEquals(ranges.min, model.size === 0 ? undefined : Math.min(...model));
    assertEquals(ranges.max, model.size === 0 ? undefined : Math.max(...model));
  }));
});

Deno.test("ranges never touch, never overlap and never are empty", () => {
  fc.assert(fc.property(operations, (steps) => {
    const ranges = new RangeSet();
    for (const { add, start, length } of steps) {
      if (add) ranges.addRange(start, start + length);
      else ranges.removeRange(start, start + length);
      let previousEnd = -1;
      for (const range of ranges.ranges()) {
        assertEquals(range.start > previousEnd && range.end > range.start, true);
        previousEnd = range.end;
      }
    }
  }));
});

Deno.test("the first gap is the first run of missing members", () => {
  const ranges = new RangeSet();
  assertEquals(ranges.firstGap(0, 10), { start: 0, end: 10 });
  ranges.addRange(0, 3);
  ranges.addRange(5, 7);
  assertEquals(ranges.firstGap(0, 10), { start: 3, end: 5 });
  assertEquals(ranges.firstGap(5, 10), { start: 7, end: 10 });
  assertEquals(ranges.firstGap(0, 3), undefined);
  assertEquals(ranges.hasRange(5, 7), true);
  assertEquals(ranges.hasRange(4, 7), false);
});

Deno.test("questions about a range get what asking for each member would give", () => {
  fc.assert(fc.property(operations, fc.nat(70), fc.nat(15), (steps, start, length) => {
    const ranges = new RangeSet();
    for (const { add, start, length } of steps) {
      if (add) ranges.addRange(start, start + length);
      else ranges.removeRange(start, start + length);
    }
    const asked = Array.from({ length }, (_, index) => start + index);
    const gapStart = asked.find((value) => !ranges.has(value));
    const gap = asked.filter((value) => gapStart !== undefined && value >= gapStart);
    const gapEnd = gap.find((value) => ranges.has(value)) ?? start + length;
    assertEquals(ranges.hasRange(start, start + length), gapStart === undefined);
    assertEquals(
      ranges.firstGap(start, start + length),
      gapStart === undefined ? undefined : { start: gapStart, end: gapEnd },
    );
    assertEquals([...ranges.ranges()].length, ranges.rangeCount);
    assertEquals(ranges.isEmpty, ranges.rangeCount === 0);
  }));
});

Deno.test("adding says whether the member was new; clearing leaves none", () => {
  const ranges = new RangeSet();
  assertEquals([ranges.add(3), ranges.add(3), ranges.add(5), ranges.add(4)], [
    true,
    false,
    true,
    true,
  ]);
  assertEquals([...ranges.ranges()], [{ start: 3, end: 6 }]);
  ranges.clear();
  assertEquals([ranges.isEmpty, ranges.size, ranges.has(3)], [true, 0, false]);
});
