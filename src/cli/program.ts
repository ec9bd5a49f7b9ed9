import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { indexCommand } from './annIndex.ts';
import { boundaryCommand } from './boundary.ts';
import { demoCommand } from './demo.ts';
import { sampleCommand } from './demoText.ts';
import { doctorCommand } from './doctor.ts';
import { opCommand } from './op.ts';
import { opsCommand } from './ops.ts';
import { samoutCommand } from './samout.ts';
import { tokenizerCommand } from './tokenizer.ts';
import { verifyCommand } from './verify.ts';
import { zettCommand } from './zett.ts';

/** The `subvocab` command with all its commands, one file each. They load what they need when they run. */
export function createProgram(): Command {
  const { version, description } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string; description: string };
  return new Command('subvocab')
    .description(description)
    .version(version)
    .addCommand(doctorCommand())
    .addCommand(verifyCommand())
    .addCommand(opsCommand())
    .addCommand(opCommand())
    .addCommand(indexCommand())
    .addCommand(samoutCommand())
    .addCommand(tokenizerCommand())
    .addCommand(zettCommand())
    .addCommand(boundaryCommand())
    .addCommand(demoCommand())
    .addCommand(sampleCommand())
    .addHelpText(
      'after',
      `
Data goes to the standard output, everything else to the standard error.
Exit codes: 0 done, 1 verification found failures, 2 the call or a file is wrong, 3 the GPU failed.`,
    );
}
