import { testFrontEnds } from "./front-ends.js";

testFrontEnds({ speech: "unacknowledged", kept: true });
