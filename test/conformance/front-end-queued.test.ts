import { testFrontEnds } from "./front-ends.js";

testFrontEnds({ speech: "queued", kept: true });
