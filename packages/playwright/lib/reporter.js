/** Ends a run of the UI and of an editor, where one global setup serves all runs. */
'use strict';

const { main } = require('./main.js');

module.exports = class {
  printsToStdio() {
    return false;
  }

  onBegin() {
    main().begin();
  }

  async onEnd() {
    await main().endRun();
  }
};
