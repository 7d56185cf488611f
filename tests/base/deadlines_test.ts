import { assertEquals } from "@std/assert";
import { NEVER } from "../../src/base/core.ts";
import { Deadlines } from "../../src/base/deadlines.ts";
import { Queue } from "../../src/base/queue.ts";

Deno.test("due deadlines are taken in the order of their times, once each", () => {
  const deadlines = new Deadlines<"probe" | "idle" | "ack">();
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
  assertEquals(deadlines.next(), NEVER);
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
