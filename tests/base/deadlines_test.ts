import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { NEVER } from "../../src/base/core.ts";
import { Deadlines } from "../../src/base/deadlines.ts";
import { Queue } from "../../src/base/queue.ts";

Deno.test("due deadlines are taken in the order of their times, once each", () => {
  const deadlines = new Deadlines("probe", "idle", "ack");
  deadlines.set("idle", 30);
  deadlines.set("probe", 10);
  deadlines.set("ack", 20);
  assertEquals(deadlines.next(), 10);
  assertEquals(deadlines.takeDue(9), undefined);
  assertEquals([deadlines.takeDue(20), deadlines.takeDue(20), deadlines.takeDue(20)], [
    "probe",
    "ack",
    undefined,
  ]);
  deadlines.set("idle", NEVER);
  assertEquals([deadlines.next(), deadlines.has("idle")], [NEVER, false]);
});

Deno.test("deadlines at the same time are taken in the order in which they are named", () => {
  const deadlines = new Deadlines("probe", "idle");
  deadlines.set("idle", 10);
  deadlines.set("probe", 10);
  assertEquals([deadlines.takeDue(10), deadlines.takeDue(10)], ["probe", "idle"]);
});

Deno.test("a queue gives its items in order, however pushes and shifts alternate", () => {
  const queue = new Queue<number>();
  let pushed = 0;
  let shifted = 0;
  for (let round = 0; round < 500; round++) {
    for (let i = 0; i < 3; i++) queue.push(pushed++);
    for (let i = 0; i < (round % 5 === 0 ? 3 : 2); i++) assertEquals(queue.shift(), shifted++);
  }
  assertEquals(queue.length, pushed - shifted);
  while (queue.length > 0) assertEquals(queue.shift(), shifted++);
  assertEquals(queue.shift(), undefined);
});

Deno.test("the table of deadlines agrees with a sorted list of them", () => {
  const names = ["a", "b", "c", "d"] as const;
  const steps = fc.array(fc.record({ name: fc.constantFrom(...names), at: fc.nat(20) }));
  fc.assert(fc.property(steps, fc.nat(25), (list, now) => {
    const deadlines = new Deadlines(...names);
    const model = new Map<string, number>();
    for (const { name, at } of list) {
      if (at === 0) {
        deadlines.clear(name);
        model.delete(name);
      } else {
        deadlines.set(name, at);
        model.set(name, at);
      }
    }
    for (const name of names) {
      assertEquals(deadlines.get(name), model.get(name) ?? NEVER);
      assertEquals(deadlines.has(name), model.has(name));
    }
    const taken: number[] = [];
    for (let name = deadlines.takeDue(now); name !== undefined; name = deadlines.takeDue(now)) {
      taken.push(model.get(name)!);
    }
    const due = [...model.values()].filter((at) => at <= now).sort((a, b) => a - b);
    assertEquals(taken, due);
    assertEquals(
      deadlines.next(),
      Math.min(NEVER, ...[...model.values()].filter((at) => at > now)),
    );
    deadlines.clearAll();
    assertEquals([deadlines.next(), deadlines.takeDue(NEVER)], [NEVER, undefined]);
  }));
});

Deno.test("peek leaves the first item, clear drops all", () => {
  const queue = new Queue<number>();
  assertEquals([queue.peek(), queue.length], [undefined, 0]);
  queue.push(1);
  queue.push(2);
  assertEquals([queue.peek(), queue.peek(), queue.length], [1, 1, 2]);
  assertEquals([queue.shift(), queue.peek()], [1, 2]);
  queue.clear();
  assertEquals([queue.peek(), queue.shift(), queue.length], [undefined, undefined, 0]);
  queue.push(3);
  assertEquals([queue.shift(), queue.length], [3, 0]);
});
