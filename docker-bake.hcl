# Made from the folders below operators/ by ./bake, which writes it anew: nothing is to be changed here.
# `docker buildx bake NAME` builds an operator where the images that it builds on are there; ./bake builds those too.

group "default" {
  targets = ["operators"]
}

group "operators" {
  targets = ["array-save", "benchmark-receiver", "benchmark-sender", "center-of-mass-partial", "center-of-mass-plot", "center-of-mass-reduce", "csv-query", "csv-rows", "csv-save", "electron-count", "error", "file-pack", "frame-reader", "frame-simulator", "gzip", "http-fetch", "image-save", "line-reader", "lookup", "lookup-table", "message-save", "pass-through", "record-save", "row-statistics", "sqlite-save"]
}

target "array-save" {
  context = "operators/array-save"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/array-save"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"e2e4a6f0-57b7-4b8b-8a57-2d8d1a9c3f94\",\"label\":\"Array Save\",\"description\":\"Writes an array into the run's outputs as .npy; a newer revision replaces an older one\",\"image\":\"ghcr.io/nersc/interactem/array-save\",\"inputs\":[{\"name\":\"array\",\"type\":\"array\",\"label\":\"Array\",\"description\":\"A numpy array\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"Name of the file in outputs/: .npy\",\"required\":false,\"type\":\"str\",\"default\":\"array.npy\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "benchmark-receiver" {
  context = "operators/benchmark-receiver"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/benchmark-receiver"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"b0c1f9e7-2f43-4b52-9d6e-84c1a0a3d5f6\",\"label\":\"Benchmark Receiver\",\"description\":\"Counts messages and bytes, and writes what it counted at the end\",\"image\":\"ghcr.io/nersc/interactem/benchmark-receiver\",\"inputs\":[{\"name\":\"in\",\"type\":\"any\",\"label\":\"In\",\"description\":\"Any messages\"}],\"parameters\":[{\"name\":\"kernel_time\",\"label\":\"Kernel Time\",\"description\":\"How long each message takes, in seconds\",\"required\":false,\"type\":\"float\",\"default\":0.0},{\"name\":\"file\",\"label\":\"File\",\"description\":\"Name of the file in outputs/ that gets messages, bytes, seconds and rates\",\"required\":false,\"type\":\"str\",\"default\":\"benchmark.json\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "benchmark-sender" {
  context = "operators/benchmark-sender"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/benchmark-sender"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"95d0f3d2-7a65-4d08-8c8d-3f1e2a7c9b40\",\"label\":\"Benchmark Sender\",\"description\":\"Sends messages of a given size, number and rate\",\"image\":\"ghcr.io/nersc/interactem/benchmark-sender\",\"outputs\":[{\"name\":\"out\",\"type\":\"any\",\"label\":\"Out\",\"description\":\"Messages of the same size; their meta has an index\"}],\"parameters\":[{\"name\":\"size\",\"label\":\"Size\",\"description\":\"Bytes of data in a message\",\"required\":false,\"type\":\"int\",\"default\":100},{\"name\":\"count\",\"label\":\"Count\",\"description\":\"How many messages are sent\",\"required\":false,\"type\":\"int\",\"default\":10000},{\"name\":\"rate\",\"label\":\"Rate\",\"description\":\"Messages a second; 0: as fast as they are taken\",\"required\":false,\"type\":\"float\",\"default\":0.0}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "center-of-mass-partial" {
  context = "operators/center-of-mass-partial"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/center-of-mass-partial"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"70dd71a7-5ebf-4515-8bf9-941d1284328c\",\"label\":\"Partial Center of Mass\",\"description\":\"Calculates the center of mass for a frame\",\"image\":\"ghcr.io/nersc/interactem/center-of-mass-partial\",\"inputs\":[{\"name\":\"in\",\"type\":\"frame\",\"label\":\"The input\",\"description\":\"Input frame\"}],\"outputs\":[{\"name\":\"com_partial\",\"type\":\"com_partial\",\"label\":\"The output\",\"description\":\"Partial center of mass\"}],\"parameters\":[{\"name\":\"crop_to_x\",\"label\":\"Crop To X\",\"description\":\"X-coordinate to crop to\",\"required\":false,\"type\":\"int\",\"default\":255},{\"name\":\"crop_to_y\",\"label\":\"Crop To Y\",\"description\":\"Y-coordinate to crop to\",\"required\":false,\"type\":\"int\",\"default\":255},{\"name\":\"init_center_x\",\"label\":\"Init Center X\",\"description\":\"X-coordinate of the initial center\",\"required\":false,\"type\":\"int\",\"default\":255},{\"name\":\"init_center_y\",\"label\":\"Init Center Y\",\"description\":\"Y-coordinate of the initial center\",\"required\":false,\"type\":\"int\",\"default\":255}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "center-of-mass-plot" {
  context = "operators/center-of-mass-plot"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/center-of-mass-plot"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"c8f5b7a4-93d4-4b0e-8a3a-7b8fd6b7f0e2\",\"label\":\"Center of Mass Plot\",\"description\":\"Draws maps of the center of mass: both components, magnitude, and direction as a color wheel\",\"image\":\"ghcr.io/nersc/interactem/center-of-mass-plot\",\"inputs\":[{\"name\":\"com\",\"type\":\"array\",\"label\":\"Maps\",\"description\":\"Array of shape (2, scan rows, scan columns)\"}],\"outputs\":[{\"name\":\"image\",\"type\":\"image\",\"label\":\"Image\",\"description\":\"The picture, as PNG\"}],\"parameters\":[{\"name\":\"title\",\"label\":\"Title\",\"description\":\"Title of the picture\",\"required\":false,\"type\":\"str\",\"default\":\"Center of mass\"}],\"tags\":[{\"value\":\"4D-STEM\",\"description\":\"Scanning electron diffraction\"}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "center-of-mass-reduce" {
  context = "operators/center-of-mass-reduce"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/center-of-mass-reduce"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"5f0b2c63-6a0f-4c1d-9a55-1f6f8f3e7b28\",\"label\":\"Center of Mass Maps\",\"description\":\"Puts partial centers of mass together to maps of the scan, whatever their order\",\"image\":\"ghcr.io/nersc/interactem/center-of-mass-reduce\",\"inputs\":[{\"name\":\"com_partial\",\"type\":\"com_partial\",\"label\":\"Partial results\",\"description\":\"Centers of mass at some positions of the scan\"}],\"outputs\":[{\"name\":\"com\",\"type\":\"array\",\"label\":\"Maps\",\"description\":\"Float64 array of shape (2, scan rows, scan columns): rows, then columns of the center of mass, in pixels\"}],\"parameters\":[{\"name\":\"emit_every\",\"label\":\"Emit Every\",\"description\":\"Send the maps whenever this many more positions are filled; 0: eight times in a scan\",\"required\":false,\"type\":\"int\",\"default\":0}],\"tags\":[{\"value\":\"4D-STEM\",\"description\":\"Scanning electron diffraction\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "csv-query" {
  context = "operators/csv-query"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/csv-query"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"c5b0f0a2-93c5-4a77-8b1f-5f0a6f6e2d18\",\"label\":\"CSV Query\",\"description\":\"Runs an SQL query over the rows of each table in CSV\",\"image\":\"ghcr.io/nersc/interactem/csv-query\",\"inputs\":[{\"name\":\"table\",\"type\":\"csv\",\"label\":\"Table\",\"description\":\"CSV in UTF-8; its first line names the columns\"}],\"outputs\":[{\"name\":\"result\",\"type\":\"csv\",\"label\":\"Result\",\"description\":\"The rows of the result, as CSV\"}],\"parameters\":[{\"name\":\"query\",\"label\":\"Query\",\"description\":\"SQL of SQLite; the table is called message\",\"type\":\"str\",\"default\":\"SELECT * FROM message\"}],\"parallel_config\":{\"type\":\"embarrassing\"},\"timeout\":300.0,\"command\":{\"arguments\":[\"{{ python }}\",\"-I\",\"{{ here }}/query.py\"],\"persistent\":true}}"
  }
}

target "csv-rows" {
  context = "operators/csv-rows"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/csv-rows"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"06d002d6-2b17-45c3-bec3-805172feaac4\",\"label\":\"CSV Rows\",\"description\":\"Sends each row of a CSV file, with its values in meta, its event time and key, and tags that say whether it is complete\",\"image\":\"ghcr.io/nersc/interactem/csv-rows\",\"outputs\":[{\"name\":\"rows\",\"type\":\"csv\",\"label\":\"Rows\",\"description\":\"A row with the line that names the columns, in the file's order\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"CSV in UTF-8; its first line names the columns\",\"required\":true,\"type\":\"mount\"},{\"name\":\"time\",\"label\":\"Time\",\"description\":\"The column of event times: seconds since 1970, or ISO 8601, in UTC where it does not say\",\"required\":false,\"type\":\"str\"},{\"name\":\"key\",\"label\":\"Key\",\"description\":\"The column of keys\",\"required\":false,\"type\":\"str\"},{\"name\":\"complete\",\"label\":\"Complete\",\"description\":\"Whether rows with empty or missing cells are left out\",\"required\":false,\"type\":\"bool\",\"default\":false}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "csv-save" {
  context = "operators/csv-save"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/csv-save"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"aa3cb7f5-2fc1-47c4-b54c-c49cecba5e91\",\"label\":\"CSV Save\",\"description\":\"Puts tables in CSV one behind the other into files of the run's outputs\",\"image\":\"ghcr.io/nersc/interactem/csv-save\",\"inputs\":[{\"name\":\"table\",\"type\":\"csv\",\"label\":\"Table\",\"description\":\"CSV in UTF-8; its first line names the columns, and is written once to each file\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"Name of the file in outputs/: .csv\",\"type\":\"str\",\"default\":\"rows.csv\"},{\"name\":\"by\",\"label\":\"By\",\"description\":\"A name in the meta's row: each value there has a file of its own, such as rows-north.csv\",\"required\":false,\"type\":\"str\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "electron-count" {
  context = "operators/electron-count"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/electron-count"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"0b9ab0f5-0a5c-4f43-9d4b-52a0d8a2a1c7\",\"label\":\"Electron Count\",\"description\":\"Turns dense frames into sparse electron events\",\"image\":\"ghcr.io/nersc/interactem/electron-count\",\"inputs\":[{\"name\":\"frames\",\"type\":\"frame\",\"label\":\"Frames\",\"description\":\"Dense frames (sparse ones pass unchanged)\"}],\"outputs\":[{\"name\":\"events\",\"type\":\"frame\",\"label\":\"Events\",\"description\":\"The same frames as sparse electron events\"}],\"parameters\":[{\"name\":\"method\",\"label\":\"Method\",\"description\":\"counts: a pixel's value is its number of electrons. peaks: a pixel above the threshold and above its neighbours is one electron\",\"required\":false,\"type\":\"str-enum\",\"options\":[\"counts\",\"peaks\"],\"default\":\"counts\"},{\"name\":\"threshold\",\"label\":\"Threshold\",\"description\":\"Pixels at or below this value hold no electron\",\"required\":false,\"type\":\"float\",\"default\":0.0}],\"tags\":[{\"value\":\"4D-STEM\",\"description\":\"Scanning electron diffraction\"}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "error" {
  context = "operators/error"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/error"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"7a3a0d57-0f5e-4f0c-8bb1-0f3e0c3a8a11\",\"label\":\"Error\",\"description\":\"Fails on a share of the messages, always the same ones, and passes on the others: for trying out retries\",\"image\":\"ghcr.io/nersc/interactem/error\",\"inputs\":[{\"name\":\"in\",\"type\":\"any\",\"label\":\"In\",\"description\":\"Any messages\"}],\"outputs\":[{\"name\":\"out\",\"type\":\"any\",\"label\":\"Out\",\"description\":\"The messages that did not fail\"}],\"parameters\":[{\"name\":\"rate\",\"label\":\"Rate\",\"description\":\"Share of the messages that fail, from 0 to 1\",\"required\":false,\"type\":\"float\",\"default\":0.1},{\"name\":\"attempts\",\"label\":\"Attempts\",\"description\":\"On how many attempts a chosen message fails before it passes; 0: on all\",\"required\":false,\"type\":\"int\",\"default\":1},{\"name\":\"seed\",\"label\":\"Seed\",\"description\":\"Another seed chooses other messages\",\"required\":false,\"type\":\"int\",\"default\":0}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "file-pack" {
  context = "operators/file-pack"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/file-pack"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"7d2e51b4-0c7f-4c4e-9c53-5a1b9b8c7e62\",\"label\":\"File Pack\",\"description\":\"Packs files with xz into outputs/, and says their checksums and sizes\",\"image\":\"ghcr.io/nersc/interactem/file-pack\",\"inputs\":[{\"name\":\"name\",\"type\":\"text\",\"label\":\"Name\",\"description\":\"A file's name below the folder\"}],\"outputs\":[{\"name\":\"record\",\"type\":\"text\",\"label\":\"Record\",\"description\":\"JSON: file, sha256 of what was in it, bytes, and packed, the bytes that it takes now\"}],\"parameters\":[{\"name\":\"folder\",\"label\":\"Folder\",\"description\":\"The folder with the files\",\"required\":true,\"type\":\"mount\"},{\"name\":\"level\",\"label\":\"Level\",\"description\":\"0 is fastest, 9 packs best\",\"type\":\"int\",\"default\":6}]}"
  }
}

target "frame-reader" {
  context = "operators/frame-reader"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/frame-reader"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"d1f6b9f8-3f0f-4d53-8b0a-6e5b1f7a2c39\",\"label\":\"Frame Reader\",\"description\":\"Sends the frames of a 4D-STEM file: what RosettaSciIO reads (.mib, .blo, .hspy, .mrc, .emd, ...) and .npy\",\"image\":\"ghcr.io/nersc/interactem/frame-reader\",\"outputs\":[{\"name\":\"frames\",\"type\":\"frame\",\"label\":\"Frames\",\"description\":\"Dense frames, in scan order\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"The file\",\"required\":true,\"type\":\"mount\"},{\"name\":\"frames_per_message\",\"label\":\"Frames Per Message\",\"description\":\"How many frames travel in one message; absent: as many as fit in 512 KiB\",\"required\":false,\"type\":\"int\"},{\"name\":\"scan_rows\",\"label\":\"Scan Rows\",\"description\":\"Rows of the scan, where the file holds a plain stack of frames\",\"required\":false,\"type\":\"int\"}],\"tags\":[{\"value\":\"4D-STEM\",\"description\":\"Scanning electron diffraction\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "frame-simulator" {
  context = "operators/frame-simulator"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/frame-simulator"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"a6d3c1de-1d8c-4a8a-8e0c-5d1f1a1f9a51\",\"label\":\"Frame Simulator\",\"description\":\"Sends the frames of a simulated scan: a diffraction disc that a known field deflects, with Poisson counts\",\"image\":\"ghcr.io/nersc/interactem/frame-simulator\",\"outputs\":[{\"name\":\"frames\",\"type\":\"frame\",\"label\":\"Frames\",\"description\":\"Dense frames, in scan order\"}],\"parameters\":[{\"name\":\"scan_rows\",\"label\":\"Scan Rows\",\"description\":\"Rows of the scan\",\"required\":false,\"type\":\"int\",\"default\":64},{\"name\":\"scan_columns\",\"label\":\"Scan Columns\",\"description\":\"Columns of the scan\",\"required\":false,\"type\":\"int\",\"default\":64},{\"name\":\"frame_rows\",\"label\":\"Frame Rows\",\"description\":\"Rows of a frame, in pixels\",\"required\":false,\"type\":\"int\",\"default\":64},{\"name\":\"frame_columns\",\"label\":\"Frame Columns\",\"description\":\"Columns of a frame, in pixels\",\"required\":false,\"type\":\"int\",\"default\":64},{\"name\":\"field\",\"label\":\"Field\",\"description\":\"The field that deflects the disc\",\"required\":false,\"type\":\"str-enum\",\"options\":[\"uniform\",\"radial\",\"vortex\",\"domains\"],\"default\":\"vortex\"},{\"name\":\"amplitude\",\"label\":\"Amplitude\",\"description\":\"Largest deflection, in pixels\",\"required\":false,\"type\":\"float\",\"default\":8.0},{\"name\":\"radius\",\"label\":\"Radius\",\"description\":\"The disc's radius, in pixels\",\"required\":false,\"type\":\"float\",\"default\":12.0},{\"name\":\"dose\",\"label\":\"Dose\",\"description\":\"Mean number of electrons in a frame\",\"required\":false,\"type\":\"float\",\"default\":500.0},{\"name\":\"seed\",\"label\":\"Seed\",\"description\":\"The same seed gives the same frames\",\"required\":false,\"type\":\"int\",\"default\":0},{\"name\":\"frames_per_message\",\"label\":\"Frames Per Message\",\"description\":\"How many frames travel in one message\",\"required\":false,\"type\":\"int\",\"default\":16}],\"tags\":[{\"value\":\"4D-STEM\",\"description\":\"Scanning electron diffraction\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "gzip" {
  context = "operators/gzip"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/gzip"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"6a3c0f5e-2c0b-4c1e-9f57-0d4f0a9b7c31\",\"label\":\"gzip\",\"description\":\"Compresses the data of messages with gzip, or decompresses it\",\"image\":\"ghcr.io/nersc/interactem/gzip\",\"inputs\":[{\"name\":\"in\",\"type\":\"any\",\"label\":\"In\",\"description\":\"Any messages\"}],\"outputs\":[{\"name\":\"out\",\"type\":\"any\",\"label\":\"Out\",\"description\":\"The same messages, compressed or not\"}],\"parameters\":[{\"name\":\"level\",\"label\":\"Level\",\"description\":\"From 1, the fastest, to 9, the smallest\",\"type\":\"int\",\"default\":6},{\"name\":\"decompress\",\"label\":\"Decompress\",\"description\":\"Whether to decompress what comes\",\"type\":\"bool\",\"default\":false}],\"parallel_config\":{\"type\":\"embarrassing\"},\"command\":{\"arguments\":[\"gzip\",\"--stdout\",{\"when\":\"parameters.decompress\",\"arguments\":[\"--decompress\"]},{\"when\":\"not parameters.decompress\",\"arguments\":[\"--no-name\",\"-{{ parameters.level }}\"]}]}}"
  }
}

target "http-fetch" {
  context = "operators/http-fetch"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/http-fetch"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"8a0f6d1b-53c4-4c86-8f0e-6f2d9b7e4c15\",\"label\":\"HTTP Fetch\",\"description\":\"Fetches what a URL in each message names, several at once\",\"image\":\"ghcr.io/nersc/interactem/http-fetch\",\"inputs\":[{\"name\":\"url\",\"type\":\"any\",\"label\":\"URL\",\"description\":\"A URL (http or https) as text, or in the meta as url\"}],\"outputs\":[{\"name\":\"content\",\"type\":\"any\",\"label\":\"Content\",\"description\":\"What was there; its meta has url, status and content_type\"}],\"parameters\":[{\"name\":\"seconds\",\"label\":\"Seconds\",\"description\":\"How long a server may be silent\",\"type\":\"float\",\"default\":30.0},{\"name\":\"megabytes\",\"label\":\"Megabytes\",\"description\":\"What is larger fails\",\"type\":\"float\",\"default\":100.0}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "image-save" {
  context = "operators/image-save"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/image-save"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"3c9f1b3d-20a0-4d39-9c52-6a4f0c0b86a1\",\"label\":\"Image Save\",\"description\":\"Writes an image into the run's outputs; a newer revision replaces an older one\",\"image\":\"ghcr.io/nersc/interactem/image-save\",\"inputs\":[{\"name\":\"image\",\"type\":\"image\",\"label\":\"Image\",\"description\":\"An image file's bytes\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"Name of the file in outputs/: .png, .jpg, .jpeg, .svg, .tif, .tiff or .webp\",\"required\":false,\"type\":\"str\",\"default\":\"image.png\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "line-reader" {
  context = "operators/line-reader"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/line-reader"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"22705363-4c44-4ba5-b7b7-fb6c60106f39\",\"label\":\"Line Reader\",\"description\":\"Sends each line of a text file, and those that are added to it\",\"image\":\"ghcr.io/nersc/interactem/line-reader\",\"outputs\":[{\"name\":\"line\",\"type\":\"text\",\"label\":\"Line\",\"description\":\"A line without its end; meta has `offset`, where it begins in the file\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"The text file\",\"required\":true,\"type\":\"mount\"},{\"name\":\"follow\",\"label\":\"Follow\",\"description\":\"Whether to wait for lines that are added\",\"required\":false,\"type\":\"bool\",\"default\":false}]}"
  }
}

target "lookup" {
  context = "operators/lookup"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/lookup"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"e0817de6-7d4b-46a3-97fb-6fabeaf78fde\",\"label\":\"Lookup\",\"description\":\"Adds to each JSON record what a table says of it\",\"image\":\"ghcr.io/nersc/interactem/lookup\",\"inputs\":[{\"name\":\"record\",\"type\":\"text\",\"label\":\"Record\",\"description\":\"A JSON object\"}],\"outputs\":[{\"name\":\"record\",\"type\":\"text\",\"label\":\"Record\",\"description\":\"The same object with more keys; what is no object as it was\"}],\"parameters\":[{\"name\":\"field\",\"label\":\"Field\",\"description\":\"The record's key whose value is looked up\",\"required\":false,\"type\":\"str\",\"default\":\"id\"},{\"name\":\"into\",\"label\":\"Into\",\"description\":\"The key under which the row is added; null where there is none\",\"required\":false,\"type\":\"str\",\"default\":\"found\"}],\"parallel_config\":{\"type\":\"embarrassing\"},\"side_inputs\":[{\"name\":\"table\",\"type\":\"lookup-table\",\"label\":\"Table\",\"description\":\"The rows, by their key\"}]}"
  }
}

target "lookup-table" {
  context = "operators/lookup-table"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/lookup-table"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"8bffac64-60ec-4f4a-bc44-3636aa6ff7d7\",\"label\":\"Lookup Table\",\"description\":\"Gives the rows of a CSV file by one of their columns, and reads it again and again\",\"image\":\"ghcr.io/nersc/interactem/lookup-table\",\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"The CSV file, with a line of column names\",\"required\":true,\"type\":\"mount\"},{\"name\":\"key\",\"label\":\"Key\",\"description\":\"The column that rows are found by\",\"required\":false,\"type\":\"str\",\"default\":\"id\"}],\"side_input\":{\"type\":\"lookup-table\",\"description\":\"A dict from the key column's text to the row, a dict of texts\",\"every\":5.0}}"
  }
}

target "message-save" {
  context = "operators/message-save"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/message-save"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"5ad040dc-9aa8-4dba-8a7f-9a2380a6d3b5\",\"label\":\"Message Save\",\"description\":\"Writes the data of each message into a file of its own\",\"image\":\"ghcr.io/nersc/interactem/message-save\",\"inputs\":[{\"name\":\"in\",\"type\":\"any\",\"label\":\"Input\",\"description\":\"Any message\"}],\"parameters\":[{\"name\":\"folder\",\"label\":\"Folder\",\"description\":\"Name of the folder in outputs/\",\"required\":false,\"type\":\"str\",\"default\":\"messages\"},{\"name\":\"suffix\",\"label\":\"Suffix\",\"description\":\"What the files' names end in, such as .json\",\"required\":false,\"type\":\"str\",\"default\":\"\"}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "pass-through" {
  context = "operators/pass-through"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/pass-through"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"4b2b5a3e-65b1-4a39-86a5-0d0b53c7a7de\",\"label\":\"Pass Through\",\"description\":\"Sends on what it receives\",\"image\":\"ghcr.io/nersc/interactem/pass-through\",\"inputs\":[{\"name\":\"in\",\"type\":\"any\",\"label\":\"In\",\"description\":\"Any messages\"}],\"outputs\":[{\"name\":\"out\",\"type\":\"any\",\"label\":\"Out\",\"description\":\"The same messages\"}],\"parallel_config\":{\"type\":\"embarrassing\"}}"
  }
}

target "record-save" {
  context = "operators/record-save"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/record-save"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"05be74c9-dbca-484d-8b70-a4b11eda2cc4\",\"label\":\"Record Save\",\"description\":\"Writes JSON records into an SQLite database; what is no record goes to a fallback\",\"image\":\"ghcr.io/nersc/interactem/record-save\",\"inputs\":[{\"name\":\"record\",\"type\":\"text\",\"label\":\"Record\",\"description\":\"A JSON object\"}],\"outputs\":[{\"name\":\"rejected\",\"type\":\"text\",\"label\":\"Rejected\",\"description\":\"What is no JSON object, or has no key; meta says why in `rejected`\",\"fallback\":true}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"Name of the database in outputs/\",\"required\":false,\"type\":\"str\",\"default\":\"records.sqlite\"},{\"name\":\"key\",\"label\":\"Key\",\"description\":\"The record's key that tells records apart: a later one replaces an earlier\",\"required\":false,\"type\":\"str\",\"default\":\"id\"}]}"
  }
}

target "row-statistics" {
  context = "operators/row-statistics"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/row-statistics"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"1831d1b6-d4ca-4466-9254-6e7ffbea7c06\",\"label\":\"Row Statistics\",\"description\":\"Count, mean, least and largest value of a column of rows, for each minute and sensor\",\"image\":\"ghcr.io/nersc/interactem/row-statistics\",\"inputs\":[{\"name\":\"rows\",\"type\":\"csv\",\"label\":\"Rows\",\"description\":\"Rows whose meta has their time, their sensor as key, and their values under row, such as CSV Rows sends\"}],\"outputs\":[{\"name\":\"statistics\",\"type\":\"csv\",\"label\":\"Statistics\",\"description\":\"A row for each minute and sensor, with the line that names the columns; its values in meta too\"},{\"name\":\"late\",\"type\":\"csv\",\"label\":\"Late\",\"description\":\"Rows that are more than a minute older than others before them\"}],\"parameters\":[{\"name\":\"column\",\"label\":\"Column\",\"description\":\"The column of numbers; a row in which it is empty does not count\",\"required\":false,\"type\":\"str\",\"default\":\"value\"}],\"parallel_config\":{\"type\":\"none\"}}"
  }
}

target "sqlite-save" {
  context = "operators/sqlite-save"
  dockerfile = "Containerfile"
  tags = ["ghcr.io/nersc/interactem/sqlite-save"]
  labels = {
    "interactem.operator.spec" = "{\"id\":\"2f4c9a2e-7a5b-4a0e-9d35-2b8f1c6e0a94\",\"label\":\"SQLite Save\",\"description\":\"Writes the rows of tables in CSV into an SQLite database, many messages in one transaction\",\"image\":\"ghcr.io/nersc/interactem/sqlite-save\",\"inputs\":[{\"name\":\"table\",\"type\":\"csv\",\"label\":\"Table\",\"description\":\"CSV in UTF-8; its first line names the columns\"}],\"parameters\":[{\"name\":\"file\",\"label\":\"File\",\"description\":\"The database, in the run's outputs/\",\"type\":\"str\",\"default\":\"rows.sqlite\"},{\"name\":\"table\",\"label\":\"Table\",\"description\":\"The table; it is made with the columns of the first message\",\"type\":\"str\",\"default\":\"rows\"}]}"
  }
}
