import { Command } from 'commander';
import { demoTextCommand } from './demoText.ts';
import { demoWordsCommand } from './demoWords.ts';

/** `subvocab demo`: what the package is for. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('Show what this is for')
    .addCommand(demoTextCommand())
    .addCommand(demoWordsCommand());
}
