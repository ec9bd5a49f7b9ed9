#!/usr/bin/env node
import { run } from './frame.ts';
import { createProgram } from './program.ts';

await run(createProgram(), process.argv);
