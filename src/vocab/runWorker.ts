import { parentPort, workerData } from 'node:worker_threads';
import { createRunMaker, type RunJob } from './wordRuns.ts';

/** A worker thread of a build: asks for a chunk, makes its run, and asks again. */
const make = createRunMaker(workerData as RunJob);
const port = parentPort!;
port.on('message', (chunk: number) => {
  if (chunk < 0) {
    port.close();
    return;
  }
  make(chunk);
  port.postMessage(chunk);
});
port.postMessage(-1);
