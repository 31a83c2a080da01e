; Power on, the frame's rhythm, the controller.
;
; The program is a loop that runs once a frame. It ends by waiting for the NMI, which sends what
; the frame has prepared to the picture. All of it is far shorter than a frame, so none is skipped.

.include "memory.inc"

.segment "HEADER"
  .byte "NES", $1A, 2, 1 ; 2 x 16 KiB of program, 1 x 8 KiB of tiles
  .byte $01, 0           ; mapper 0; two screens side by side

.segment "CHR"
  .incbin "tiles.chr"

.segment "VECTORS"
  .addr nmi, reset, irq

.segment "CODE"

reset:
  sei
  cld
  ldx #$40
  stx $4017 ; no interrupts by the sound's frame counter
  ldx #$FF
  txs
  inx
  stx $2000 ; no NMI
  stx $2001 ; no picture
  stx $4010
  bit $2002
: bit $2002
  bpl :-
  lda #0    ; memory is what it is at power on: clear all of it, so that every start is the same
: sta $0000, x
  sta $0100, x
  sta $0200, x
  sta $0300, x
  sta $0400, x
  sta $0500, x
  sta $0600, x
  sta $0700, x
  inx
  bne :-
: bit $2002
  bpl :-
  jsr hide_sprites
  lda #%10001000 ; NMI on; landscape from the first pattern table, sprites from the second
  sta ppu_ctrl
  sta $2000

every_frame:
  lda #1
  sta idle
: lda idle
  bne :-
  jsr wait_for_split
  inc frame
  jsr read_pad
  jsr hide_sprites
  jsr run_mode
  jmp every_frame

; The picture's start: prepared data goes to video memory, then the status line is shown unmoved.
nmi:
  pha
  txa
  pha
  tya
  pha
  lda idle
  beq :+ ; the program is not through: better the old picture than half of the new one
  lda #0
  sta $2003
  lda #>oam
  sta $4014
  jsr flush_vram
: lda ppu_ctrl
  sta $2000
  lda #0
  sta $2005
  sta $2005
  lda ppu_mask
  sta $2001
  lda #0
  sta idle
  pla
  tay
  pla
  tax
  pla
irq:
  rti

; Sprites below the screen are not seen. The first one stays, it splits the screen.
hide_sprites:
  lda #$F8
  ldx #4
: sta oam, x
  inx
  inx
  inx
  inx
  bne :-
  lda #4
  sta oam_next
  rts

read_pad:
  lda buttons
  sta t0
  lda #1
  sta $4016
  sta buttons ; once this bit has gone through, all eight are read
  lsr
  sta $4016
: lda $4016
  and #3
  cmp #1
  rol buttons
  bcc :-
  lda t0
  eor #$FF
  and buttons
  sta pressed
  rts
