import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { NEVER } from "../../src/base/core.ts";
import { DeadlineHeap } from "../../src/base/deadline_heap.ts";

Deno.test("a deadline heap gives what a table of deadlines would, earliest first", () => {
  const step = fc.record({ key: fc.nat(12), at: fc.nat(50), clear: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const heap = new DeadlineHeap<number>();
    const model = new Map<number, number>();
    for (const { key, at, clear } of steps) {
      heap.set(key, clear ? NEVER : at);
      if (clear) model.delete(key);
      else model.set(key, at);
      assertEquals(heap.next(), Math.min(NEVER, ...model.values()));
      assertEquals(heap.size, model.size);
    }
    const taken: number[] = [];
    for (let key; (key = heap.takeDue(40)) !== undefined;) {
      taken.push(model.get(key)!);
      model.delete(key);
    }
    assertEquals(taken, taken.toSorted((a, b) => a - b));
    assertEquals(Math.min(NEVER, ...model.values()) > 40, true);
  }));
});
