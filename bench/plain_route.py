"""The reference: a WebSocket route as FastAPI's own tutorial writes it, which only remembers who is connected."""

import sys

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
connected: dict[int, WebSocket] = {}


@app.websocket("/ws/hardware/{cart_id}")
async def hardware(websocket: WebSocket, cart_id: int) -> None:
    await websocket.accept()
    connected[cart_id] = websocket
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        connected.pop(cart_id, None)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", log_level="warning", access_log=False)
