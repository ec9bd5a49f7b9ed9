import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { buildWords } from '../../src/vocab/words/buildWords.ts';

/**
 * A process that builds an index: `node buildProcess.ts TARGET VECTORS HOW`. With `hold` it says "words" after the first piece and
 * waits to be killed; with `rename` it kills itself when the old index is out of the way and the new one not yet there.
 */
const [target = '', vectors = '', how] = process.argv.slice(2);
if (how === 'rename') {
  const rename = fs.renameSync;
  fs.renameSync = (from, to) => {
    if (String(from).endsWith('.building')) process.kill(process.pid, 'SIGKILL');
    rename(from, to);
  };
  syncBuiltinESMExports();
}
try {
  const { resumed } = await buildWords(
    target,
    { kind: 'fbin', path: vectors },
    {
      lists: 8,
      chunk: 100,
      threads: 1,
      onProgress: (stage, done) => {
        if (how !== 'hold' || stage !== 'words' || done === 0) return;
        fs.writeSync(1, 'words\n');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      },
    },
  );
  fs.writeSync(1, `resumed ${resumed}\n`);
} catch (error) {
  fs.writeSync(1, `${(error as Error).message}\n`);
}
