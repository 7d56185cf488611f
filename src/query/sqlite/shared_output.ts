// The output of an engine process, in memory that its two threads share: what the working thread has to say costs it no
// write of its own while more follows, and when it stands in a statement, the main thread says it.

/** Bytes that wait for either thread. */
const ROOM_BYTES = 64 * 1024;

/** How often the main thread writes what waits, in milliseconds. */
const RELAY_MS = 2;

/** Time with nothing to say after which the main thread sleeps until it is woken, in milliseconds. */
const AWAKE_MS = 100;

/** The cells of the shared state: one thread writes at a time; bytes that wait; the main thread is asleep. */
const LOCK = 0;
const LENGTH = 1;
const ASLEEP = 2;
const STATE_BYTES = 3 * Int32Array.BYTES_PER_ELEMENT;

/** One thread's view of it. Both get the bytes written in the order in which they were said. */
export class SharedOutput {
  /** What the other thread's view is made of. */
  readonly memory: SharedArrayBuffer;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #state: Int32Array<SharedArrayBuffer>;
  readonly #room: Uint8Array<SharedArrayBuffer>;

  /** `write` blocks until all is written. */
  constructor(
    write: (bytes: Uint8Array) => void,
    memory = new SharedArrayBuffer(STATE_BYTES + ROOM_BYTES),
  ) {
    this.memory = memory;
    this.#write = write;
    this.#state = new Int32Array(memory, 0, STATE_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#room = new Uint8Array(memory, STATE_BYTES);
  }

  // The working thread

  /** Has bytes written soon: with others, or by the main thread. */
  post(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#lock();
    this.#append(bytes);
    this.#unlock();
    if (Atomics.compareExchange(this.#state, ASLEEP, 1, 0) === 1) {
      Atomics.notify(this.#state, ASLEEP);
    }
  }

  /** Writes bytes now, behind those that wait. */
  write(bytes: Uint8Array): void {
    this.#lock();
    this.#append(bytes);
    this.#writeWaiting();
    this.#unlock();
  }

  #lock(): void {
    while (Atomics.compareExchange(this.#state, LOCK, 0, 1) !== 0) {
      Atomics.wait(this.#state, LOCK, 1);
    }
  }

  #append(bytes: Uint8Array): void {
    const length = Atomics.load(this.#state, LENGTH);
    if (length + bytes.length <= ROOM_BYTES) {
      this.#room.set(bytes, length);
      Atomics.store(this.#state, LENGTH, length + bytes.length);
    } else {
      this.#writeWaiting();
      this.#write(bytes);
    }
  }

  // Both

  #unlock(): void {
    Atomics.store(this.#state, LOCK, 0);
    Atomics.notify(this.#state, LOCK);
  }

  #writeWaiting(): void {
    const length = Atomics.load(this.#state, LENGTH);
    if (length === 0) return;
    // What is written must not be shared.
    this.#write(this.#room.slice(0, length));
    Atomics.store(this.#state, LENGTH, 0);
  }

  // The main thread

  /** Writes what waits for too long, without end. Rejects where it cannot be written. */
  async relay(): Promise<never> {
    for (;;) {
      await this.#sleep();
      for (let idleMs = 0; idleMs < AWAKE_MS; idleMs += RELAY_MS) {
        await new Promise((resolve) => setTimeout(resolve, RELAY_MS));
        if (this.#relayOnce()) idleMs = 0;
      }
    }
  }

  async #sleep(): Promise<void> {
    Atomics.store(this.#state, ASLEEP, 1);
    // What was posted before that woke nobody.
    if (Atomics.load(this.#state, LENGTH) > 0) Atomics.store(this.#state, ASLEEP, 0);
    else await Atomics.waitAsync(this.#state, ASLEEP, 1).value;
  }

  /** Returns whether there was anything to say. */
  #relayOnce(): boolean {
    // The other thread is at it.
    if (Atomics.compareExchange(this.#state, LOCK, 0, 1) !== 0) return true;
    const isNeeded = Atomics.load(this.#state, LENGTH) > 0;
    try {
      this.#writeWaiting();
    } finally {
      this.#unlock();
    }
    return isNeeded;
  }
}
