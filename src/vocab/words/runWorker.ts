import { parentPort, workerData } from 'node:worker_threads';
import { FormatError, OpError } from '../../core/errors.ts';
import { explain } from '../../core/formats/files.ts';
import { createRunMaker, type RunAnswer, type RunJob } from './wordRuns.ts';

/** A worker thread of a build: asks for a chunk, makes its run, and asks again. */
const who = 'index build';
const job = workerData as RunJob;
const port = parentPort!;
const say = (answer: RunAnswer): void => port.postMessage(answer);
const attempt = <R>(action: () => R): R | undefined => {
  try {
    return action();
  } catch (thrown) {
    const error = explain(who, 'write', job.folder, thrown);
    // What is no error of a file is a mistake of ours: it ends the thread.
    if (!(error instanceof OpError)) throw error;
    say({ damaged: error instanceof FormatError, message: error.message.slice(error.op.length + 2) });
    return undefined;
  }
};
const make = attempt(() => createRunMaker(job));
port.on('message', (chunk: number) => {
  if (chunk < 0) {
    port.close();
    return;
  }
  attempt(() => {
    make!(chunk);
    say({ chunk });
  });
});
if (make !== undefined) say({ chunk: -1 });
