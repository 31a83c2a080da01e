; The picture: what is to be written to video memory, palettes, texts, the fixed status line.
;
; Video memory can only be written while no picture is sent. The program queues what it wants
; written, as blocks of: address (high byte first), count (bit 7: downwards instead of across),
; bytes. A zero in place of an address ends the queue. The most that comes together in a frame of a
; level is 49 bytes in 10 blocks (a column's half, all digits, two bumped blocks, a coin): about 1,250
; cycles of the 1,700 that the sprites leave.

.include "memory.inc"

SPLIT_DELAY = 12 ; times 5 cycles, from the sprite to the end of the line

.segment "CODE"

; Starts a block. In: t0 address' high byte, t1 low byte, A count. Out: X, where to put the bytes:
; `sta vram_queue, x`, `inx` for each, then queue_close.
queue_open:
  ldx vram_end
  sta vram_queue + 2, x
  lda t0
  sta vram_queue, x
  lda t1
  sta vram_queue + 1, x
  inx
  inx
  inx
  rts

queue_close:
  lda #0
  sta vram_queue, x
  stx vram_end
  rts

; Writes the queue to video memory. Only while no picture is sent.
flush_vram:
  ldx #0
@block:
  lda vram_queue, x
  beq @end
  sta $2006
  lda vram_queue + 1, x
  sta $2006
  lda vram_queue + 2, x
  tay
  asl
  lda #%10001000
  bcc :+
  lda #%10001100 ; 32 bytes further each time, that is downwards
: sta $2000
  tya
  and #$7F
  tay
@byte:
  lda vram_queue + 3, x
  sta $2007
  inx
  dey
  bne @byte
  inx
  inx
  inx
  bne @block ; always
@end:
  sta vram_queue
  sta vram_end
  rts

; Queues the four tiles of metatile A at probe_page, probe_at.
queue_metatile:
  sta t2
  lda probe_page
  and #1
  asl
  asl
  ora #$20
  sta t0 ; $20 or $24: which screen
  lda probe_at
  and #$F0
  asl
  rol t3 ; the row is 64 bytes long in video memory, 16 here
  asl
  rol t3
  sta t1
  lda t3
  and #3
  clc
  adc t0
  sta t0
  lda probe_at
  and #$0F
  asl
  ora t1
  clc
  adc #$80 ; below the status line
  sta t1
  bcc :+
  inc t0
: lda #2
  jsr queue_open
  ldy t2
  lda metatile_upper_left, y
  sta vram_queue, x
  inx
  lda metatile_upper_right, y
  sta vram_queue, x
  inx
  jsr queue_close
  lda t1
  ora #$20 ; one line of tiles below; rows of metatiles start at even lines
  sta t1
  lda #2
  jsr queue_open
  ldy t2
  lda metatile_lower_left, y
  sta vram_queue, x
  inx
  lda metatile_lower_right, y
  sta vram_queue, x
  inx
  jmp queue_close

; Turns the picture off, so that video memory may be written at any time.
screen_off:
  lda #0
  sta ppu_mask
  sta $2001
  sta split_screen
  rts

; Turns it on with the next NMI.
screen_on:
  lda #%00011110
  sta ppu_mask
  rts

; Fills the first screen with nothing, and its colours with those of the status line.
clear_screen:
  lda #$20
  sta $2006
  lda #$00
  sta $2006
  ldx #4
  ldy #$C0 ; 3 * 256 + 192 tiles
: sta $2007
  dey
  bne :-
  dex
  bne :-
  ldx #$40
  lda #$AA
: sta $2007
  dex
  bne :-
  rts

; Queues the palettes of the theme.
send_palette:
  lda theme
  asl
  asl
  asl
  asl
  tay
  jmp send_colours

; Queues palettes with the background black, for screens of text.
send_black_palette:
  ldy #palette_black - palettes

; Queues the sprites' palettes, then those of the landscape from palettes + Y: both have the
; background's colour, and the last one written counts.
send_colours:
  sty t2
  lda #$3F
  sta t0
  lda #$10
  sta t1
  jsr queue_open
  ldy #0
: lda sprite_palettes, y
  sta vram_queue, x
  inx
  iny
  cpy #$10
  bne :-
  jsr queue_close
  lda #$00
  sta t1
  lda #$10
  jsr queue_open
  ldy t2
: lda palettes, y
  sta vram_queue, x
  inx
  iny
  tya
  and #$0F
  bne :-
  jmp queue_close

; Queues a text. In: pointer at its length and letters, t0 and t1 the address.
draw_text:
  ldy #0
  lda (pointer), y
  sta t2
  jsr queue_open
: iny
  lda (pointer), y
  sec
  sbc #FIRST_LETTER
  sta vram_queue, x
  inx
  dec t2
  bne :-
  jmp queue_close

; Waits for the last line of the status line, then lets the picture below it start at the edge. The
; new place is written after that line is drawn, and before the next.
wait_for_split:
  lda split_screen
  beq @done
  lda edge_page
  and #1
  ora ppu_ctrl
  ldy #SPLIT_DELAY
: bit $2002
  bvs :- ; the sprite of the last picture
: bit $2002
  bvc :-
: dey
  bne :-
  ldx edge
  stx $2005
  sty $2005
  sta $2000
@done:
  rts

.segment "RODATA"

; Four palettes of four colours for each theme, in the order of tools/levels.py: plants, earth, sky
; and water, gold. The first colour is the background; the others are dark, middle, light.
palettes:
  .byte $21, $0A, $1A, $2A, $21, $07, $17, $29, $21, $11, $31, $30, $21, $07, $28, $38 ; meadow
  .byte $0F, $0B, $1B, $2B, $0F, $0C, $1C, $3C, $0F, $02, $12, $30, $0F, $07, $28, $38 ; cave
  .byte $03, $0B, $1B, $2B, $03, $08, $18, $28, $03, $14, $25, $35, $03, $07, $28, $38 ; dusk
  .byte $0F, $09, $19, $29, $0F, $00, $10, $30, $0F, $06, $16, $27, $0F, $07, $28, $38 ; castle
  .byte $22, $07, $16, $27, $22, $08, $18, $28, $22, $01, $31, $30, $22, $07, $28, $38 ; autumn
  .byte $0F, $0C, $1C, $2C, $0F, $01, $11, $31, $0F, $01, $21, $30, $0F, $07, $28, $38 ; night
  .byte $11, $0C, $1C, $3B, $11, $07, $17, $30, $11, $01, $31, $30, $11, $07, $28, $38 ; snow
  .byte $0F, $09, $19, $29, $0F, $03, $13, $33, $0F, $06, $16, $27, $0F, $07, $28, $38 ; keep
palette_black:
  .byte $0F, $0A, $1A, $2A, $0F, $07, $17, $29, $0F, $11, $31, $30, $0F, $07, $28, $38
sprite_palettes:
  .byte $0F, $07, $27, $37, $0F, $03, $13, $30, $0F, $06, $16, $36, $0F, $0A, $1A, $39

.include "metatiles.inc"
