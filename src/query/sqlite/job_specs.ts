// Commands of the engine interface as jobs for an engine process.

import type { StatementDescription } from "../../wire/response_payload.ts";
import type {
  BatchCommand,
  BatchOutcome,
  Caller,
  ExecuteCommand,
  PrepareCommand,
  Reply,
  ResultSink,
} from "../engine.ts";
import { MessageKind, type ProcessRole, readDescription, readEnd } from "./ipc.ts";
import {
  batchBody,
  controlBody,
  type ControlKind,
  executeBody,
  prepareBody,
} from "./ipc_requests.ts";
import type { JobSink, JobSpec, JobTransaction } from "./job.ts";
import { OWN, permissionMask, READ } from "./permissions.ts";

/** Whose command it is and where it runs. */
export interface JobPlace {
  readonly caller: Caller;
  /** Where it is tried first. */
  readonly route: ProcessRole;
  /** The transaction that it belongs to, and the number that the processes know it by. */
  readonly transaction?: JobTransaction & { readonly number: number };
}

function common({ caller, route, transaction }: JobPlace) {
  return {
    permissions: permissionMask(caller.permissions),
    route,
    ...(transaction !== undefined && { transaction }),
  };
}

function requestKey(caller: Caller, key: string | undefined) {
  return key === undefined ? {} : { key: { principal: caller.principal, key } };
}

/** The job of an execute. */
export function executeJob(place: JobPlace, command: ExecuteCommand): JobSpec {
  const { sql, params, idempotencyKey, deadlineMs } = command;
  const shared = common(place);
  const key = requestKey(place.caller, idempotencyKey);
  const request = { sql, params, permissions: shared.permissions, ...key };
  return {
    ...shared,
    kind: MessageKind.EXECUTE,
    body: executeBody(request, place.transaction?.number ?? 0),
    texts: [sql],
    isKeyed: idempotencyKey !== undefined,
    deadlineMs,
  };
}

/** The job of a statement of the engine's own, which may read its own tables. */
export function ownJob(route: ProcessRole, { sql, params, deadlineMs }: ExecuteCommand): JobSpec {
  const permissions = READ | OWN;
  return {
    kind: MessageKind.EXECUTE,
    body: executeBody({ sql, params, permissions }, 0),
    permissions,
    texts: [sql],
    route,
    isKeyed: false,
    deadlineMs,
  };
}

/** The job of a batch. */
export function batchJob(place: JobPlace, command: BatchCommand): JobSpec {
  const { steps, idempotencyKey, deadlineMs } = command;
  const shared = common(place);
  const key = requestKey(place.caller, idempotencyKey);
  const request = { steps, permissions: shared.permissions, ...key };
  return {
    ...shared,
    kind: MessageKind.BATCH,
    body: batchBody(request, place.transaction?.number ?? 0),
    texts: steps.map(({ sql }) => sql),
    isKeyed: idempotencyKey !== undefined,
    deadlineMs,
  };
}

/** The job of a prepare. */
export function prepareJob(place: JobPlace, { sql, deadlineMs }: PrepareCommand): JobSpec {
  const shared = common(place);
  const at = { permissions: shared.permissions, transaction: place.transaction?.number ?? 0 };
  return {
    ...shared,
    kind: MessageKind.PREPARE,
    body: prepareBody(at, sql),
    texts: [sql],
    isKeyed: false,
    deadlineMs,
  };
}

/** The job that begins, ends or marks a transaction. */
export function controlJob(
  place: JobPlace,
  kind: ControlKind,
  options: { savepoint?: number; deadlineMs?: number } = {},
): JobSpec {
  const shared = common(place);
  const at = { permissions: shared.permissions, transaction: place.transaction!.number };
  return {
    ...shared,
    kind: MessageKind.CONTROL,
    body: controlBody(at, kind, options.savepoint),
    texts: [],
    isKeyed: false,
    deadlineMs: options.deadlineMs,
  };
}

/** Takes a result. */
export function resultSink(sink: ResultSink): JobSink {
  return {
    onHead: (columns) => sink.onHead(columns),
    onPage: (page, last) => sink.onPage(page, last),
    onEnd: (body) => sink.onEnd(readEnd(body)),
    onError: (error) => sink.onError(error),
  };
}

function replySink<Outcome>(reply: Reply<Outcome>, read: (body: Uint8Array) => Outcome): JobSink {
  return {
    onHead() {},
    onPage() {},
    onEnd: (body) => reply.onEnd(read(body)),
    onError: (error) => reply.onError(error),
  };
}

/** Takes the Response to a batch. */
export function batchSink(reply: Reply<BatchOutcome>): JobSink {
  return replySink(reply, (payload) => ({ payload }));
}

/** Takes what a statement is. */
export function descriptionSink(reply: Reply<StatementDescription>): JobSink {
  return replySink(reply, readDescription);
}

/** Takes that a thing was done. */
export function doneSink(reply: Reply<void>): JobSink {
  return replySink(reply, () => {});
}
